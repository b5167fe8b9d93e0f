"""Settings of the HTTP server, from `QSTAR_*` environment variables or `qstar serve` options."""

from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from qstar_server.origins import parse_origins
from qstar_server.reasoning import DEFAULT_EFFORTS, Effort


class ServerConfig(BaseSettings):
    """Limits and addresses of the HTTP server.

    The model and the engine have their own settings, in `EngineArgs`.

    Raises:
        ValidationError: a value is out of range. The server does not start then.
    """

    model_config = SettingsConfigDict(env_prefix="QSTAR_", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on. The server has no authentication: keep it local, or put a proxy with
    authentication in front."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port; 0 lets the system choose a free one."""
    allow_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Web pages that may use the API from a browser, as `https://host:port`; `*` is all of them.
    In the environment separated by commas."""
    allow_thoughts: bool = True
    """False: a request with `show_thoughts` gets a 403."""
    reasoning_efforts: dict[Effort, Annotated[float, Field(ge=0, le=100)]] = Field(
        default=dict(DEFAULT_EFFORTS), validate_default=True
    )
    """Length of a thought at each `reasoning_effort`, as a share of the length that the model was
    trained with; in the environment as JSON. Efforts that are left out keep their default."""
    max_logprobs: int | None = Field(default=None, ge=0, le=100)
    """Most likely tokens that a request may see of each token. None: as OpenAI allows, 5 in
    completions and 20 in chat."""
    max_prompts: int = Field(default=128, ge=1)
    """Most prompts in one request."""
    max_body_bytes: int = Field(default=2_000_000, ge=1_000)
    """Largest request body; a larger one gets a 413."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Time for a request body to arrive; after that the request gets a 408."""
    max_pending_deltas: int = Field(default=4096, ge=1)
    """Engine outputs that may wait for one slow client; with more, its request is aborted."""
    send_timeout_s: float = Field(default=60.0, gt=0)
    """A stream is aborted when its client reads no bytes for this long."""
    drain_grace_s: float = Field(default=20.0, ge=0)
    """Time for open requests to finish after SIGTERM; then the engine is closed."""
    shutdown_grace_s: float = Field(default=5.0, ge=0)
    """Time after that for the last bytes to reach the clients."""

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("reasoning_efforts")
    @classmethod
    def _with_default_efforts(cls, given: dict[Effort, float]) -> dict[Effort, float]:
        return {**DEFAULT_EFFORTS, **given}

    @field_validator("allow_origins", mode="before")
    @classmethod
    def _parsed_origins(cls, value: Any) -> Any:
        return parse_origins([value] if isinstance(value, str) else value)

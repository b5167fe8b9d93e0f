"""Settings of the HTTP server, from `QSTAR_*` environment variables or `qstar serve` options."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from qstar_server.origins import parse_origins

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


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
    log_level: LogLevel = "info"
    """Least severe records of the log."""
    log_format: LogFormat = "text"
    """json: an object on each line."""
    access_log: bool = True
    """Whether each request leaves a line in the log."""
    log_requests: bool = False
    """Whether the log has prompts, outputs and shown thoughts, each cut after 2,000 characters."""
    otlp_traces_endpoint: str | None = Field(default=None, pattern="^https?://")
    """Where traces are sent, such as http://localhost:4318/v1/traces; None: nowhere."""
    allow_thoughts: bool = True
    """False: a request with `show_thoughts` gets a 403."""
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
    watchdog_timeout_s: float = Field(default=300.0, ge=0)
    """The server exits with an error when one step of the engine takes longer; 0: never."""
    drain_grace_s: float = Field(default=20.0, ge=0)
    """Time for open requests to finish after SIGTERM; then the engine is closed."""
    shutdown_grace_s: float = Field(default=5.0, ge=0)
    """Time after that for the last bytes to reach the clients."""

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("allow_origins", mode="before")
    @classmethod
    def _parsed_origins(cls, value: Any) -> Any:
        return parse_origins([value] if isinstance(value, str) else value)

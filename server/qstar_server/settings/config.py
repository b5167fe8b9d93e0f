"""Settings of the HTTP server, from `QSTAR_*` environment variables or `qstar serve` options."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from qstar_server.generation.reasoning import DEFAULT_EFFORTS, Effort
from qstar_server.http.hosts import ANY, LOOPBACK_NAMES, is_loopback, parse_hosts, url_host
from qstar_server.http.keys import KeyRing, read_key_file
from qstar_server.http.origins import parse_origins

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


class ServerConfig(BaseSettings):
    """Limits and addresses of the HTTP server.

    The model and the engine have their own settings, in `EngineArgs`.

    Raises:
        ValidationError: a value is out of range. The server does not start then.
    """

    model_config = SettingsConfigDict(
        env_prefix="QSTAR_",
        frozen=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on. One that other machines can reach needs an API key, or `insecure`."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port; 0 lets the system choose a free one."""
    api_key: Annotated[KeyRing, NoDecode] = KeyRing()
    """A key that clients must send. There is no command-line option, because other users of the
    machine can read command lines."""
    api_keys: Annotated[KeyRing, NoDecode] = KeyRing()
    """Several keys; in the environment separated by commas."""
    api_key_file: Path | None = None
    """File with one key in each line; lines that begin with # are comments."""
    max_requests_per_key: int | None = Field(default=None, ge=1)
    """Most requests that one key may have open; one more gets a 429. None: no limit."""
    open_metrics: bool = False
    """True: `/metrics` needs no key, for scrapers that cannot send one. It shows how busy the
    server is, and no text."""
    insecure: bool = False
    """True: serve without an API key on an address that other machines can reach."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names, besides localhost, that requests may give in the Host header; `*` is all of them. The
    header is checked if this is set, and on a server without keys that only this machine can reach.
    In the environment separated by commas."""
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
    reasoning_efforts: dict[Effort, Annotated[float, Field(ge=0, le=100)]] = Field(
        default=dict(DEFAULT_EFFORTS), validate_default=True
    )
    """Length of a thought at each `reasoning_effort`, as a share of the length that the model was
    trained with; in the environment as JSON. Efforts that are left out keep their default."""
    max_logprobs: int | None = Field(default=None, ge=0, le=100)
    """Most likely tokens that a request may see of each token. None: as OpenAI allows, 5 in
    completions and 20 in chat; and 20 in thoughts."""
    max_prompts: int = Field(default=128, ge=1)
    """Most prompts in one request."""
    max_body_bytes: int = Field(default=2_000_000, ge=1_000)
    """Largest request body; a larger one gets a 413."""
    max_bodies_bytes: int = Field(default=64_000_000, ge=1_000)
    """Bytes of the bodies of all open requests together; a request that exceeds it gets a 503."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Time for a request body to arrive; after that the request gets a 408."""
    request_timeout_s: float = Field(default=3600.0, gt=0)
    """Time for a response, waiting included; after that it ends with a 504, or in a stream with an
    error."""
    max_pending_deltas: int = Field(default=4096, ge=1)
    """Engine outputs that may wait for one slow client; with more, its request is aborted."""
    send_timeout_s: float = Field(default=60.0, gt=0)
    """A connection is closed when its client reads no bytes of a response for this long."""
    header_timeout_s: float = Field(default=10.0, gt=0)
    """Time for the head of a request to arrive, from the first byte or from a new connection."""
    keep_alive_timeout_s: float = Field(default=5.0, gt=0)
    """A connection is closed when its client sends no further request for this long."""
    max_connections: int = Field(default=1000, ge=1)
    """Most open connections, if the system's limit of open files allows as many. Above it, idle
    connections are closed, and if none is idle, new ones get a 503."""
    watchdog_timeout_s: float = Field(default=300.0, ge=0)
    """The server exits with an error when one step of the engine takes longer; 0: never."""
    drain_grace_s: float = Field(default=20.0, ge=0)
    """Time for open requests to finish after SIGTERM; then the engine is closed."""
    shutdown_grace_s: float = Field(default=5.0, ge=0)
    """Time after that for the last bytes to reach the clients."""
    ray: bool = False
    """Serve through replicas on a Ray cluster, each with an engine of its own."""
    ray_address: str | None = Field(default=None, pattern=r"^(auto|[^/\s]+:\d+)$")
    """The cluster, HOST:PORT as `ray start` names it, or `auto` for the one of this machine; None:
    one is started here, for this server alone."""
    ray_min_replicas: int = Field(default=1, ge=1)
    """Least replicas."""
    ray_max_replicas: int | None = Field(default=None, ge=1)
    """Most replicas: more are started while sequences wait. None: as many as the least."""
    ray_upscale_delay_s: float = Field(default=5.0, ge=0)
    """How long sequences must wait before replicas are added."""
    ray_downscale_delay_s: float = Field(default=60.0, ge=0)
    """How long fewer replicas must be enough before one is given up."""

    _keys: KeyRing = PrivateAttr(default=KeyRing())

    @property
    def keys(self) -> KeyRing:
        """The keys of all sources. Without any, everyone who reaches the server may use it."""
        return self._keys

    @property
    def open_paths(self) -> tuple[str, ...]:
        """Paths that need no key."""
        return ("/health", "/metrics") if self.open_metrics else ("/health",)

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.host)

    @property
    def ray_most_replicas(self) -> int:
        """Most replicas that there may be."""
        return self.ray_max_replicas or self.ray_min_replicas

    @property
    def checked_hosts(self) -> tuple[str, ...]:
        """What requests may name as their host; empty: anything."""
        is_checked = self.allowed_hosts or (self.is_local and not self.keys)
        if not is_checked or ANY in self.allowed_hosts:
            return ()
        return (*LOOPBACK_NAMES, url_host(self.host), *self.allowed_hosts)

    @field_validator("ray_max_replicas")
    @classmethod
    def _at_least_the_least(cls, most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("ray_min_replicas", 1)
        if most is not None and most < least:
            raise ValueError(f"{most} is less than ray_min_replicas, which is {least}")
        return most

    def model_post_init(self, _: Any, /) -> None:
        """Read the key file, so that a wrong one stops the start."""
        from_file = KeyRing() if self.api_key_file is None else read_key_file(self.api_key_file)
        self._keys = self.api_key | self.api_keys | from_file

    @field_validator("api_key", "api_keys", mode="before")
    @classmethod
    def _hashed_keys(cls, value: Any, info: ValidationInfo) -> KeyRing:
        if isinstance(value, KeyRing):
            return value
        if not isinstance(value, list | tuple):
            value = [value] if info.field_name == "api_key" else str(value).split(",")
        return KeyRing.of(str(key).strip() for key in value)

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _parsed_hosts(cls, value: Any) -> Any:
        return parse_hosts([value] if isinstance(value, str) else value)

    @field_validator("reasoning_efforts")
    @classmethod
    def _with_default_efforts(cls, given: dict[Effort, float]) -> dict[Effort, float]:
        return {**DEFAULT_EFFORTS, **given}

    @field_validator("allow_origins", mode="before")
    @classmethod
    def _parsed_origins(cls, value: Any) -> Any:
        return parse_origins([value] if isinstance(value, str) else value)

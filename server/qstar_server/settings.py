"""What an operator may set, by `QSTAR_*` environment variables or `qstar serve` options."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Server settings; an out-of-range value refuses to start the server.

    The model and the engine are not set here: those are `qstar serve` options.
    """

    model_config = SettingsConfigDict(env_prefix="QSTAR_", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on. There is no authentication: leave it local unless a proxy adds some."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    allow_thoughts: bool = True
    """False: a request with `show_thoughts` is answered 403."""
    max_prompts: int = Field(default=128, ge=1)
    """Most prompts in one request."""
    max_body_bytes: int = Field(default=2_000_000, ge=1_000)
    """Largest request body; a larger one is answered 413."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """A request body that has not arrived after this long is answered 408."""
    max_pending_deltas: int = Field(default=4096, ge=1)
    """Engine deltas that may wait for one client; past that the request is aborted."""
    send_timeout_s: float = Field(default=60.0, gt=0)
    """A stream whose client takes no bytes for this long is aborted."""
    drain_grace_s: float = Field(default=20.0, ge=0)
    """After SIGTERM, time for open requests to finish; then the engine is closed."""
    shutdown_grace_s: float = Field(default=5.0, ge=0)
    """After that, time for the last bytes to reach the clients."""

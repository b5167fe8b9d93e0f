"""Settings: order of precedence, checks, and what must stay secret."""

import httpx
import pytest

from qstar_client import AsyncQStarClient, QStarClient
from qstar_client._config import ClientConfig, resolve_config, to_httpx_timeout

SECRET = "sk-hunter2"


def resolve(base_url: str | None = None, api_key: str | None = None) -> ClientConfig:
    return resolve_config(base_url=base_url, api_key=api_key, timeout=1.0, max_retries=0)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QSTAR_BASE_URL", raising=False)
    monkeypatch.delenv("QSTAR_API_KEY", raising=False)


def test_defaults() -> None:
    config = resolve()
    assert (config.base_url, config.api_key) == ("http://127.0.0.1:8000", None)
    assert "authorization" not in config.headers


def test_arguments_win_over_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_BASE_URL", "http://env:1")
    monkeypatch.setenv("QSTAR_API_KEY", "env-key")
    assert resolve().base_url == "http://env:1"
    assert resolve().headers["authorization"] == "Bearer env-key"
    assert resolve("http://arg:2").base_url == "http://arg:2"
    assert resolve(api_key="arg-key").headers["authorization"] == "Bearer arg-key"
    assert "authorization" not in resolve(api_key="").headers


def test_empty_environment_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTAR_BASE_URL", "")
    assert resolve().base_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_base_url_may_carry_a_slash_or_v1(given: str) -> None:
    assert resolve(given).base_url == "http://h:1"


@pytest.mark.parametrize(
    "given",
    ["", "localhost:8000", "h", "ftp://h", "http://", "http://h:x", "http://h/?a=1", "http://h#a"],
)
def test_malformed_base_url_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        resolve(given)


def test_a_password_in_the_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        resolve(f"http://user:{SECRET}@h")
    assert SECRET not in str(caught.value)


def test_a_key_read_from_a_file_may_end_in_a_newline() -> None:
    assert resolve(api_key=f"{SECRET}\n").headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("key", [f"{SECRET} x", f"{SECRET}\nx", f"{SECRET}é", f"{SECRET}\0"])
def test_malformed_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        resolve(api_key=key)
    assert SECRET not in str(caught.value)


def test_a_number_limits_every_wait_and_connecting_to_5_s() -> None:
    assert to_httpx_timeout(600.0) == httpx.Timeout(600.0, connect=5.0)
    assert to_httpx_timeout(2.0) == httpx.Timeout(2.0)
    assert to_httpx_timeout(httpx.Timeout(9.0)) == httpx.Timeout(9.0)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_a_timeout_must_be_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        to_httpx_timeout(timeout)


def test_max_retries_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="max_retries"):
        QStarClient(max_retries=-1)


def test_reprs_hide_the_key() -> None:
    with QStarClient(api_key=SECRET) as client:
        assert repr(client) == "QStarClient(base_url='http://127.0.0.1:8000')"
    assert SECRET not in repr(resolve(api_key=SECRET))
    assert repr(AsyncQStarClient(api_key=SECRET)).startswith("AsyncQStarClient(base_url=")

"""The pictures of the documentation, made from the page in front of the lab model.

`make screenshots` keeps them in docs/screenshots; otherwise they are made, and forgotten. Texts are
the same each time, because the lab model has a seed; times and fonts are those of the machine.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine_args import EngineArgs
from tests.browser.conftest import OpenPage
from tests.browser.views import DESKTOP, MAX_BYTES, VIEWS, picture
from tests.server.live_server import LiveServer, start_server

KEPT = Path(__file__).parents[2] / "docs" / "screenshots"


@pytest.fixture(scope="module")
def lab() -> Iterator[LiveServer]:
    """The lab model behind a server."""
    engine = create_async_engine(EngineArgs.of(model="lab", dtype="float32", device="cpu"))
    server = start_server(engine, ServerConfig(port=0, drain_grace_s=0.2, access_log=False))
    yield server
    server.stop()


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_can_be_pictured(name: str, lab: LiveServer, open_page: OpenPage) -> None:
    view = VIEWS[name]
    options = {"viewport": DESKTOP, "device_scale_factor": 2, "color_scheme": "light"}
    playground = open_page(lab.url, **options | view.options)
    view.show(playground)
    png = picture(playground, view)
    assert len(png) < MAX_BYTES
    directory = os.environ.get("QSTAR_SCREENSHOTS")
    if directory is not None:
        (Path(directory) / f"{name}.png").write_bytes(png)


def test_the_documentation_has_each_picture_and_no_other() -> None:
    kept = {path.stem: path.read_bytes() for path in KEPT.glob("*.png")}
    assert kept.keys() == VIEWS.keys()
    for name, png in kept.items():
        assert len(png) < MAX_BYTES, name
        width, _ = Image.open(io.BytesIO(png)).size
        size = VIEWS[name].options.get("viewport", DESKTOP)
        assert VIEWS[name].region is not None or width == 2 * size["width"], name

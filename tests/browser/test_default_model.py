"""The page in front of what `make serve` starts."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.default_cache import default_cache
from tests.e2e.conftest import serving


@pytest.mark.slow
def test_a_stranger_sees_a_thought_of_the_default_model(
    tmp_path_factory: pytest.TempPathFactory, open_page: OpenPage
) -> None:
    """One click on Generate, one on a word. The answer is short, because the model is slow here."""
    with serving(QSTAR_CACHE=str(default_cache(tmp_path_factory))) as url:
        playground = open_page(url)
        expect(playground.generate).to_be_enabled()
        playground.set(Max_tokens="4", Temperature="0")
        playground.fold_settings()
        playground.generate.click()
        playground.wait_for_end(4)
        playground.token(3).click()
        expect(playground.inspector).to_contain_text("Its thought, 4 tokens")

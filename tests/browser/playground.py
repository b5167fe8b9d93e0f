"""The page as a person finds it: by roles and names, not by its markup."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.browser.watch import Watch


@dataclass
class Playground:
    """An open page."""

    page: Page
    watch: Watch

    @property
    def prompt(self) -> Locator:
        return self.page.get_by_role("textbox", name="Prompt")

    @property
    def generate(self) -> Locator:
        return self.page.get_by_role("button", name="Generate", exact=True)

    @property
    def stop(self) -> Locator:
        return self.page.get_by_role("button", name="Stop", exact=True)

    @property
    def answer(self) -> Locator:
        return self.page.get_by_role("region", name="Answer")

    @property
    def tokens(self) -> Locator:
        return self.answer.locator("[data-index]")

    @property
    def inspector(self) -> Locator:
        return self.page.get_by_role("complementary", name="Token")

    @property
    def compared(self) -> Locator:
        return self.page.get_by_role("region", name="Compare")

    @property
    def alert(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def settings(self) -> Locator:
        return self.page.get_by_role("group", name="Settings")

    def set(self, **fields: str) -> None:
        """Fill in settings by their labels, with `_` for a space; they are opened if need be."""
        self.open_settings()
        for name, value in fields.items():
            label = name.replace("_", " ")
            self.settings.get_by_role("spinbutton", name=label, exact=True).fill(value)

    def open_settings(self) -> None:
        """Show the settings, if they are not shown."""
        if not self.settings.is_visible():
            self._fold.click()

    def fold_settings(self) -> None:
        """Close the settings."""
        self._fold.click()
        expect(self.settings).to_be_hidden()

    @property
    def _fold(self) -> Locator:
        return self.page.get_by_role("button", name="Settings")

    def token(self, index: int) -> Locator:
        """The token at an index of the answer, counted from 0."""
        return self.answer.locator(f'[data-index="{index}"]')

    def ask(self, prompt: str = "What colour is the sky?") -> None:
        """Type a prompt and press Generate."""
        self.prompt.fill(prompt)
        self.generate.click()

    def wait_for_end(self, num_tokens: int) -> None:
        """Until the answer has so many tokens and another one can be asked for."""
        expect(self.tokens).to_have_count(num_tokens)
        expect(self.stop).to_be_hidden()

    def shading(self, index: int) -> str:
        """The background of a token, as CSS computes it."""
        style = "element => getComputedStyle(element).backgroundColor"
        colour: str = self.token(index).evaluate(style)
        return colour

"""The reading view in a terminal: a screen of its own, with a cursor on a token."""

from collections.abc import Callable, Sequence

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth, Output
from rich.console import Console

from qstar_infer.cli.prompt_output import colour_depth, open_output
from qstar_infer.cli.reading.page import pages_of
from qstar_infer.cli.reading.reader import Reader
from qstar_infer.cli.reading.screen import draw
from qstar_infer.cli.shade import Palette, palette_of
from qstar_infer.saved_run import SavedRun

_ESCAPE_SECONDS = 0.05
"""After ESC, how long a terminal may take for the rest of an arrow key."""


def read_runs(runs: Sequence[SavedRun], console: Console, *, begin: int = 0) -> None:
    """Show runs until the user leaves.

    Args:
        console: a terminal, see `can_read`. Keys come from it even if stdin is a pipe.
        begin: the page to begin with; each completion of each run is a page.
    """
    application = reading_application(
        Reader(pages_of(runs), begin=begin),
        palette_of(console),
        input=create_input(always_prefer_tty=True),
        output=open_output(),
        depth=colour_depth(console),
    )
    application.run()


def reading_application(
    reader: Reader, palette: Palette, *, input: Input, output: Output, depth: ColorDepth
) -> Application[None]:
    """The view, not yet running."""

    def text() -> StyleAndTextTuples:
        size = output.get_size()
        lines = draw(reader, palette, size.columns, size.rows)
        parts: StyleAndTextTuples = [part for line in lines for part in [*line, ("", "\n")]]
        return parts[:-1]

    application: Application[None] = Application(
        layout=Layout(Window(FormattedTextControl(text, focusable=True, show_cursor=False))),
        key_bindings=_keys(reader, lambda: output.get_size().columns),
        full_screen=True,
        color_depth=depth,
        input=input,
        output=output,
    )
    application.ttimeoutlen = application.timeoutlen = _ESCAPE_SECONDS
    return application


def _keys(reader: Reader, width: Callable[[], int]) -> KeyBindings:
    def shade_by_weight() -> None:
        reader.shading = "weight"

    def shade_by_change() -> None:
        reader.shading = "change"

    actions: dict[str, Callable[[], None]] = {
        "left": lambda: reader.move(-1),
        "right": lambda: reader.move(1),
        "up": lambda: reader.move_lines(-1, width()),
        "down": lambda: reader.move_lines(1, width()),
        "pageup": lambda: reader.move_lines(-10, width()),
        "pagedown": lambda: reader.move_lines(10, width()),
        "home": reader.go_to_begin,
        "end": reader.go_to_end,
        "n": lambda: reader.move_by_change(1),
        "p": lambda: reader.move_by_change(-1),
        "w": shade_by_weight,
        "c": shade_by_change,
        "tab": lambda: reader.turn_page(1),
        "s-tab": lambda: reader.turn_page(-1),
    }
    bindings = KeyBindings()
    for key, action in actions.items():
        bindings.add(key)(lambda _event, action=action: action())
    for key in ("q", "escape", "c-c", "c-d"):
        bindings.add(key)(lambda event: event.app.exit())
    return bindings

"""The colours of a token: by the weight of its thought, or by what the thought changed.

The same colours as in the page and in notebooks (docs/decisions/0038-thoughts-to-look-at.md). They
are transparent there. A terminal has no transparency, so they are mixed here with a dark ground, or
with white where the terminal says by COLORFGBG that its ground is light.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rich.console import Console

from qstar_infer.outputs import Thought

Rgb = tuple[int, int, int]
Shading = Literal["weight", "change"]

ORANGE: Rgb = (240, 140, 0)
BLUE: Rgb = (0, 114, 178)
RED_BROWN: Rgb = (213, 94, 0)
MOST_OPAQUE = 0.55
FULL_CHANGE = 3.0
"""Nats of change, in either direction, that have the strongest colour."""
_LIGHT_GROUNDS = {"7", "15"}
"""White and bright white, as the last number of COLORFGBG."""


@dataclass(frozen=True, slots=True)
class Shade:
    """A colour, and how strong it is."""

    colour: Rgb
    strength: float
    """From 0, invisible, to 1."""


@dataclass(frozen=True, slots=True)
class Paint:
    """What a terminal shows for a shade.

    Attributes:
        ink: of the text, `#rrggbb` or the name of one of the 8 basic colours; "" without colours.
        background: the same.
        is_underlined: stands for a colour where there are none.
    """

    ink: str = ""
    background: str = ""
    is_underlined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """How a terminal shows shades."""

    colours: Literal["many", "basic", "none"] = "many"
    """basic: a shade of at least a quarter of its strength is one of the 8 basic colours. none: a
    shade of at least half its strength is an underline."""
    ground: Rgb = (24, 24, 24)
    """What colours are mixed with, if there are many."""
    ink: Rgb = (240, 240, 240)

    def paint(self, shade: Shade | None) -> Paint | None:
        """How a shade looks; None: like text without a shade."""
        if shade is None or shade.strength < _WEAKEST[self.colours]:
            return None
        if self.colours == "none":
            return Paint(is_underlined=True)
        if self.colours == "basic":
            return _BASIC[shade.colour]
        opacity = MOST_OPAQUE * shade.strength
        red, green, blue = (
            round(low + opacity * (high - low))
            for low, high in zip(self.ground, shade.colour, strict=True)
        )
        return Paint(_hex(self.ink), _hex((red, green, blue)))


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


_BASIC = {
    ORANGE: Paint("black", "yellow"),
    BLUE: Paint("white", "blue"),
    RED_BROWN: Paint("white", "red"),
}
_WEAKEST = {"many": 1e-3, "basic": 0.25, "none": 0.5}
DARK = Palette()
LIGHT = Palette(ground=(255, 255, 255), ink=(20, 20, 20))


def palette_of(console: Console, environ: Mapping[str, str] = os.environ) -> Palette:
    """The palette for a console."""
    if console.no_color or console.color_system is None:
        return Palette(colours="none")
    if console.color_system == "standard":
        return Palette(colours="basic")
    ground = environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if ground in _LIGHT_GROUNDS else DARK


def shade_of(thought: Thought, shading: Shading) -> Shade | None:
    """The shade of a token; None without a thought."""
    if not thought.thought_token_ids:
        return None
    return weight_shade(thought.mixing_weight) if shading == "weight" else change_shade(thought)


def weight_shade(weight: float) -> Shade:
    """Orange; a weight outside [0, 1] counts as the nearer end."""
    return Shade(ORANGE, min(max(weight, 0.0), 1.0))


def change_shade(thought: Thought) -> Shade:
    """Blue where the thought made the token more likely, red-brown where less."""
    change = change_of(thought)
    return Shade(BLUE if change > 0 else RED_BROWN, min(abs(change) / FULL_CHANGE, 1.0))


def change_of(thought: Thought) -> float:
    """What the thought added to the token's log-probability, in nats; 0 if both are impossible."""
    if thought.logprob == thought.base_logprob:
        return 0.0
    return thought.logprob - thought.base_logprob

"""What `generate`, `chat` and `bench` share: options of a request, and opening the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from qstar_infer.cli.streams import text_of_argument
from qstar_infer.cli.terminal import safe_text
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import shown
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import ThinkingRule, read_rule

if TYPE_CHECKING:
    from qstar_infer.llm import LLM

DEFAULT_TEMPERATURE = 0.7
"""Used where neither the user nor the checkpoint gives one. Lower than the API's 1.0: a small model
stays closer to its subject."""

MaxTokens = Annotated[int, typer.Option(help="Most visible tokens to produce.", min=1)]
Temperature = Annotated[
    float | None,
    typer.Option(
        help="0 is greedy.",
        min=0.0,
        max=2.0,
        show_default=f"the checkpoint's, else {DEFAULT_TEMPERATURE:g}",
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        help="Keep the most likely tokens whose probability reaches this.",
        show_default="the checkpoint's, else 1",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        help="Keep this many most likely tokens; 0 keeps all.",
        show_default="the checkpoint's, else 0",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Makes the answer repeatable.")]
NumThoughtTokens = Annotated[
    int | None,
    typer.Option(help="Tokens per thought; 0 does not think.", min=0, show_default="as trained"),
]
Thinking = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Where to think: everywhere, behind:TOKEN (at each token of this name), or gate "
        "(where the checkpoint's gate says so).",
        show_default="the checkpoint's",
    ),
]
ThinkThreshold = Annotated[
    float | None,
    typer.Option(
        help="Skip a thought where the base model's top probability is at least this. Faster, "
        "approximate."
    ),
]
ShowThoughts = Annotated[
    bool | None,
    typer.Option(
        "--show-thoughts/--no-thoughts",
        help="Print each thought after its token, or nothing of thoughts at all.",
        show_default="in a terminal, tokens are shaded by the weight of their thoughts",
    ),
]
STORED_DTYPES = "stored (the checkpoint's own), auto, float32, bfloat16 or float16."
StoredDtype = Annotated[str, typer.Option(help=STORED_DTYPES)]


def thinking_rule(text: str | None) -> ThinkingRule | None:
    """The rule that `--thinking` names; None if it is not given.

    Raises:
        typer.BadParameter: it names none.
    """
    if text is None:
        return None
    where, colon, token = text.partition(":")
    try:
        if where == "behind":
            return ThinkingRule(where="behind", tokens=(text_of_argument(token),))
        if where in ("everywhere", "gate") and not colon:
            return read_rule({"where": where})
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--thinking") from None
    raise typer.BadParameter(
        f"it must be everywhere, gate or behind:TOKEN, not {shown(text)}", param_hint="--thinking"
    )


def given_params(**options: Any) -> dict[str, Any]:
    """Fields of `SamplingParams` that the user gave, checked before a model is loaded.

    Args:
        **options: by field name; None means that the user did not give it.

    Raises:
        RequestError: a value is out of range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    SamplingParams(**given)
    return given


def request_params(defaults: SamplingDefaults, given: dict[str, Any]) -> SamplingParams:
    """What the user gave, then the checkpoint's defaults, then those of the command line."""
    own = {"temperature": DEFAULT_TEMPERATURE} if defaults.temperature is None else {}
    return defaults.params(**own | given)


@contextmanager
def open_llm(engine_args: EngineArgs) -> Iterator["LLM"]:
    """The loaded model, closed at the end. Shows a spinner on stderr while it loads.

    Raises:
        CheckpointError, ConfigError: the model cannot be loaded.
    """
    console = Console(stderr=True)
    with console.status("Loading the model"):
        from qstar_infer import LLM  # imports torch, so not before the arguments are checked

        llm = LLM.from_engine_args(engine_args)
    try:
        if console.is_terminal and not llm.model_info.is_trained:
            console.print(safe_text(llm.model_info.description, "dim"), soft_wrap=True)
        yield llm
    finally:
        llm.close()

"""What `generate`, `chat` and `bench` share: their options, and opening the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from qstar_infer.config import parse_speculation

if TYPE_CHECKING:
    from qstar_infer.llm import LLM

DEFAULT_TEMPERATURE = 0.7
"""Lower than the API's 1.0: small models wander less."""

Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="Checkpoint directory or hub id; without it, the default model."
    ),
]
MaxTokens = Annotated[int, typer.Option(help="Most visible tokens.", min=1)]
Temperature = Annotated[float, typer.Option(help="0 is greedy.", min=0.0, max=2.0)]
TopP = Annotated[float, typer.Option(help="Keep the most likely tokens up to this probability.")]
TopK = Annotated[int, typer.Option(help="Keep this many most likely tokens; 0 keeps all.")]
Seed = Annotated[int | None, typer.Option(help="Makes the answer repeatable.")]
NumThoughtTokens = Annotated[
    int | None,
    typer.Option(help="Tokens per thought; 0 does not think. As trained unless given.", min=0),
]
ThinkThreshold = Annotated[
    float | None,
    typer.Option(help="Skip thoughts where the model is this sure already: faster, approximate."),
]
Speculation = Annotated[
    str,
    typer.Option(help="auto, off, or how many tokens to run ahead. Changes speed, never the text."),
]
Dtype = Annotated[str, typer.Option(help="auto, stored, float32, bfloat16 or float16.")]
StoredDtype = Annotated[
    str,
    typer.Option(help="stored (what the checkpoint has), float32, bfloat16 or float16."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Quantization = Annotated[str, typer.Option(help="none, int8 or nf4.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub repository.")]


@contextmanager
def open_llm(
    model: str | None,
    *,
    dtype: str,
    device: str,
    quantization: str,
    revision: str | None,
    speculation: str,
) -> Iterator["LLM"]:
    """The model ready to answer, with a spinner on stderr while it loads; closed at the end."""
    depth = parse_speculation(speculation)
    console = Console(stderr=True)
    with console.status("Loading the model"):
        from qstar_infer import LLM  # torch: only now, after the arguments are known to be right

        llm = LLM(
            model,
            dtype=dtype,
            device=device,
            quantization=quantization,
            revision=revision,
            speculation=depth,
        )
    try:
        if console.is_terminal and not llm.model_info.is_trained:
            console.print(Text(llm.model_info.description, style="dim"), soft_wrap=True)
        yield llm
    finally:
        llm.close()

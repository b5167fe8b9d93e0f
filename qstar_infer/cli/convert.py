"""`qstar convert`: write any checkpoint in the native format, or as GGUF."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from qstar_infer.cli import options
from qstar_infer.cli.saving import save_with_progress
from qstar_infer.cli.terminal import safe_text
from qstar_infer.errors import ConfigError

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel

Base = Annotated[
    str | None,
    typer.Option(
        help="For a Lightning .ckpt of expz/quiet-star only: a directory or hub id with the "
        "config.json and the tokenizer of its base model.",
    ),
]
NumThoughtTokens = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tokens per thought. By default the checkpoint's, inferred if it is a published "
        "one, which does not store it.",
    ),
]
IsLiteral = Annotated[
    bool,
    typer.Option(
        "--literal",
        help="Store the thought vectors that the published evaluation script feeds, "
        "in place of the trained ones.",
    ),
]
Target = Annotated[
    str,
    typer.Option("--to", help="native, or gguf: a directory for the runner llama.cpp."),
]
GgufType = Annotated[
    str,
    typer.Option(
        help="With --to gguf: f32, f16, bf16, q8_0, q4_0 or q4_1; the last three need "
        "llama-cpp-python.",
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        help="Directory or hub id of a tokenizer to store, for a checkpoint that has none."
    ),
]
IsPlain = Annotated[
    bool,
    typer.Option(
        "--ignore-thought-parts",
        help="Convert only the language model of a checkpoint that thinks.",
    ),
]


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="lab, a checkpoint directory (published, adapter, plain), a .gguf file, a hub "
            "id, or a Lightning .ckpt with --base.",
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="A directory that does not exist or is empty.")
    ],
    *,
    base: Base = None,
    num_thought_tokens: NumThoughtTokens = None,
    is_literal: IsLiteral = False,
    tokenizer: Tokenizer = None,
    is_plain: IsPlain = False,
    dtype: options.StoredDtype = "stored",
    to: Target = "native",
    gguf_type: GgufType = "f16",
) -> None:
    """Convert a checkpoint to the native format, or to GGUF for llama.cpp."""
    if to not in ("native", "gguf"):
        raise ConfigError(f"--to must be native or gguf, got {to!r}")

    def load() -> "QuietStarModel":
        if base is not None:
            _check_no_options_of_published(
                {
                    "--literal": is_literal,
                    "--tokenizer": tokenizer is not None,
                    "--ignore-thought-parts": is_plain,
                }
            )
            model = _load_lightning(source, base, num_thought_tokens, dtype)
        else:
            model = _load(
                source,
                dtype=dtype,
                num_thought_tokens=num_thought_tokens,
                thought_vectors="literal" if is_literal else "kept",
                tokenizer=tokenizer,
                ignore_thought_parts=is_plain,
            )
        _print_notes(model)
        return model

    save_with_progress(load, source, destination, gguf_type=gguf_type if to == "gguf" else None)


def _load(source: str, **settings: Any) -> "QuietStarModel":
    from qstar_infer.checkpoint import load_model  # imports torch, so only after parsing

    return load_model(source, device="cpu", **settings)


def _check_no_options_of_published(given: dict[str, bool]) -> None:
    for option, is_given in given.items():
        if is_given:
            raise ConfigError(
                f"{option} does not apply to Lightning files, and --base applies only to them. "
                "Leave one of them out."
            )


def _load_lightning(
    source: str, base: str, num_thought_tokens: int | None, dtype: str
) -> "QuietStarModel":
    from qstar_infer.checkpoint.layouts.lightning import convert_lightning  # imports torch

    return convert_lightning(source, base, dtype=dtype, num_thought_tokens=num_thought_tokens)


def _print_notes(model: "QuietStarModel") -> None:
    if model.config is not None:
        for note in model.config.notes:
            Console(stderr=True).print(safe_text(f"note: {note}", "dim"), soft_wrap=True)

"""What `convert` and `init` share: load a model, save it, show the progress."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from qstar_infer.cli.terminal import safe_text

if TYPE_CHECKING:
    from qstar_infer.model.quiet_star import QuietStarModel


def save_with_progress(
    load: Callable[[], "QuietStarModel"],
    source: str,
    destination: Path,
    *,
    gguf_type: str | None = None,
) -> None:
    """Load a model, save it and print its description, on stderr.

    Args:
        load: loads the model.
        source: its name, for the spinner.
        destination: checked before the load; must not exist, or be empty.
        gguf_type: save it as GGUF, with weights of this type; None: as a native checkpoint.
    """
    console = Console(stderr=True)
    with console.status("Starting") as status:
        from qstar_infer.checkpoint import describe, save_model  # imports torch
        from qstar_infer.checkpoint.gguf.save import check_type, save_gguf
        from qstar_infer.checkpoint.save import check_empty

        check_empty(destination)
        if gguf_type is not None:
            check_type(gguf_type)
        status.update(safe_text(f"Loading {source}"))
        model = load()
        status.update(safe_text(f"Saving to {destination}"))
        if gguf_type is None:
            save_model(model, destination)
        else:
            save_gguf(model, destination, kind=gguf_type)
    console.print(safe_text(f"Saved to {destination}: {describe(model)}."), soft_wrap=True)

"""`qstar eval`: what thinking is worth, for one checkpoint or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from qstar_eval.config import EvaluateSettings
from qstar_eval.progress import shown_on
from qstar_train.config_file import load_config as load_settings

if TYPE_CHECKING:
    from qstar_eval.report import Report


def evaluate(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            help="Directories, .gguf files or hub ids; `label=` before one names it. `default`, or "
            "nothing, is the default model, `base` that model before training. Others are "
            "compared with the first.",
            metavar="[CHECKPOINT]...",
            show_default=False,
        ),
    ] = None,
    *,
    config: Annotated[Path, typer.Option(help="What to measure: a YAML file.")],
    out: Annotated[
        Path, typer.Option(help="Directory of records and report. A run goes on where it was.")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting over the file's: key=value. May be repeated."),
    ] = None,
) -> None:
    """Measure what thinking is worth: loss of held-out text, and questions."""
    settings = load_settings(EvaluateSettings, config, assignments or [])
    report = _run(settings, checkpoints or [], out)
    _print(report, out)


def _run(settings: EvaluateSettings, checkpoints: list[str], out: Path) -> "Report":
    """Mistakes in settings, files and tokenizers come out before a model is loaded.

    What only its weights show ends the run at that checkpoint. The records are kept.
    """
    console = Console(stderr=True)
    with console.status("Looking at checkpoints and data"):
        from qstar_eval.checkpoints import find_checkpoints
        from qstar_eval.directory import claimed
        from qstar_eval.measurable import require_measurable
        from qstar_eval.output import write_output
        from qstar_eval.runner import Evaluation
        from qstar_eval.tasks import make_tasks
        from qstar_infer.checkpoint.options import LoadOptions  # torch: only when needed

        LoadOptions.resolve(dtype=settings.dtype, device=settings.device, quantization="none")
        tasks = make_tasks(settings)
        found = find_checkpoints(checkpoints)
        require_measurable(found, tasks)
    with claimed(out):
        with shown_on(console) as on_progress:
            cells = Evaluation(settings, found, tasks, out, on_progress=on_progress).run()
        with console.status("Summarising"):
            return write_output(settings, cells, out)


def _print(report: "Report", out: Path) -> None:
    from qstar_eval.table import rich_table, tables

    console = Console()
    for cells in tables(report):
        console.print(rich_table(cells))
    Console(stderr=True).print(Text(f"Written to {out}."), soft_wrap=True)

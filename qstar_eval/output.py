"""What a run leaves beside its records: report, tables, plots, pages."""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

from qstar_eval.config import EvaluateSettings
from qstar_eval.figures import write_pages, write_plots
from qstar_eval.report import Report, make_report, write_report
from qstar_eval.runner import Cell
from qstar_eval.table import markdown

logger = logging.getLogger(__name__)


def write_output(settings: EvaluateSettings, cells: Sequence[Cell], directory: Path) -> Report:
    """Write `report.json`, `report.md`, `pages/` and `plots/`, and give the report back.

    Plots and pages of an earlier call go: this one may be of fewer checkpoints or sets. Without
    matplotlib there are no plots; a warning says so.
    """
    pages, plots = directory / "pages", directory / "plots"
    report = make_report(settings, cells)
    # First, so that none lies beside a newer report where writing fails.
    for old in [*pages.glob("*.html"), *plots.glob("*.svg")]:
        old.unlink()
    write_report(report, directory)
    (directory / "report.md").write_text(markdown(report), encoding="utf-8")
    write_pages(cells, pages)
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("No plots: matplotlib is not installed (pip install 'qstar[train]').")
    else:
        write_plots(report, cells, plots)
    return report

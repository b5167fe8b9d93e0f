"""What a run leaves beside its records: report, tables, plots, pages."""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

from qstar_train.evaluator.config import EvaluateSettings
from qstar_train.evaluator.figures import write_pages, write_plots
from qstar_train.evaluator.report import Report, make_report, write_report
from qstar_train.evaluator.runner import Cell
from qstar_train.evaluator.table import markdown

logger = logging.getLogger(__name__)


def write_output(settings: EvaluateSettings, cells: Sequence[Cell], directory: Path) -> Report:
    """Write `report.json`, `report.md`, `pages/` and `plots/`, and give the report back.

    Without matplotlib there are no plots; a warning says so.
    """
    report = make_report(settings, cells)
    write_report(report, directory)
    (directory / "report.md").write_text(markdown(report), encoding="utf-8")
    write_pages(cells, directory / "pages")
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("No plots: matplotlib is not installed (pip install 'qstar[train]').")
    else:
        write_plots(report, cells, directory / "plots")
    return report

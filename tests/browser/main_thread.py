"""How long the tasks of a page's main thread compute, whatever else the machine does.

A long task, as browsers report it, is wall-clock time: on a busy machine a page that only waits for
the processor has many. Chromium's trace has the processor time of each task too. A task that
computes for less than 100 ms is less than 100 ms long on a machine that has nothing else to do.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page

TASK = "ThreadControllerImpl::RunTask"


@dataclass
class Tasks:
    """Processor time of the tasks of the main thread.

    Attributes:
        milliseconds: of each task, the longest first.
    """

    milliseconds: list[float] = field(default_factory=list)

    @property
    def longest_ms(self) -> float:
        """Of all tasks; 0 if there was none."""
        return self.milliseconds[0] if self.milliseconds else 0.0

    @property
    def total_ms(self) -> float:
        return sum(self.milliseconds)


@contextmanager
def measured_tasks(page: Page) -> Iterator[Tasks]:
    """Trace the block; the result is filled in at its end. One trace at a time in a browser."""
    browser = page.context.browser
    assert browser is not None
    found = Tasks()
    browser.start_tracing(page=page, categories=["toplevel"])
    yield found
    # The trace has no task that is still running, such as the one that told what was waited for.
    page.evaluate("() => new Promise(done => setTimeout(done))")
    events = json.loads(browser.stop_tracing())["traceEvents"]
    found.milliseconds += sorted(_milliseconds(events), reverse=True)


def _milliseconds(events: list[dict[str, Any]]) -> Iterator[float]:
    """Processor time of the tasks of the renderers' main threads."""
    main_threads = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    assert main_threads, "the trace names no main thread"
    for each in events:
        is_task = each["name"] == TASK and "tdur" in each
        if is_task and (each["pid"], each["tid"]) in main_threads:
            yield each["tdur"] / 1000

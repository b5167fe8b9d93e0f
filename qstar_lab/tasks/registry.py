"""The tasks by name."""

from qstar_infer.errors import ConfigError
from qstar_lab.tasks.digit_chains import DigitChains
from qstar_lab.tasks.pointer_hops import PointerHops
from qstar_lab.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (DigitChains(), PointerHops())}
DEFAULT_TASK = DigitChains.name


def find_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in TASKS:
        raise ConfigError(f"task = {name!r} is unknown; the tasks are {', '.join(TASKS)}")
    return TASKS[name]

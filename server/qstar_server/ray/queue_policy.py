"""How many replicas there should be. Ray Serve asks several times a second.

Imports nothing of ours: Ray pickles this module by value for its controller.
"""

from math import ceil
from typing import Any

WAITING = "waiting"
RUNNING = "running"

_SHARE = 0.8
"""Of the room of the replicas that stay: below it, one is given up."""


def replicas_wanted(num_replicas: int, *, waiting: float, running: float, room: int) -> int:
    """How many replicas the sequences of now need.

    Args:
        num_replicas: how many there are.
        waiting: sequences in the queues of all engines, the mean of the last seconds.
        running: sequences in their batches.
        room: most sequences in the batch of one.
    """
    if waiting >= 1:
        return num_replicas + ceil(waiting / room)
    if waiting == 0 and running <= _SHARE * room * (num_replicas - 1):
        return num_replicas - 1
    return num_replicas


class QueuePolicy:
    """Adds replicas while sequences wait, and gives one up when the others have room for all.

    Ray Serve keeps the result between the least and the most, and waits for it to last.
    """

    def __init__(self, room: int) -> None:
        """
        Args:
            room: most sequences in the batch of a replica.
        """
        self._room = room

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """How many replicas, and the state for the next call, which there is none of.

        Args:
            context: an `AutoscalingContext`, with the means of what replicas have recorded.
        """
        target: int = context.target_num_replicas
        if context.current_num_replicas < target:  # the last decision is still at work
            return target, {}
        means = context.aggregated_metrics or {}
        wanted = replicas_wanted(
            target,
            waiting=sum(means.get(WAITING, {}).values()),
            running=sum(means.get(RUNNING, {}).values()),
            room=self._room,
        )
        return wanted, {}

"""What the engine asks of an attention implementation: prepare a step once, attend every layer."""

from typing import Protocol

from qstar_infer.attention.interface import AttentionState
from qstar_infer.step import StepBatch


class AttentionBackend(Protocol):
    """Attention of a step's rows over one pool of key/value blocks.

    An implementation owns no keys and values; it reads and writes the `KVPool` it was made with.
    """

    def prepare(self, batch: StepBatch) -> AttentionState:
        """Everything about a step that all of its layers share: indices, masks, plans.

        Returns:
            A state that attends the batch's rows, in their order, as one batch of size 1.
        """
        ...

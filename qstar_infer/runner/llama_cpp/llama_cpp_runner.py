"""Runs a step with llama.cpp; thought parts and sampling are torch's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from qstar_infer.config import EngineConfig
from qstar_infer.runner.decisions import Decisions
from qstar_infer.runner.llama_cpp.context import LlamaContext
from qstar_infer.runner.llama_cpp.limits import MAX_TEXTS, PADDING_TEXT
from qstar_infer.runner.llama_cpp.model import LlamaCppModel
from qstar_infer.runner.llama_cpp.passes import Pass, plan_passes
from qstar_infer.step import StepBatch, StepResult

_SPARE_CELLS = 256
"""Beside those of the pool's blocks: cells of dropped drafts live until their texts go on."""


class LlamaCppRunner:
    """A `Runner` on the CPU. Owns the weights and the cache."""

    def __init__(
        self,
        model: LlamaCppModel,
        config: EngineConfig,
        *,
        num_blocks: int,
        num_lanes: int,
    ) -> None:
        """
        Args:
            config: of the engine, from `fitting_config`.
            num_blocks: of the pool; their slots are cells of llama.cpp's cache.
            num_lanes: number of slots of the lane buffers.
        """
        assert config.max_num_seqs + num_lanes <= PADDING_TEXT
        self._first_lane = config.max_num_seqs
        self._fed = [0] * config.max_num_seqs
        """Of each sequence's slot, the number of tokens whose cells are in the cache."""
        self._row_multiple = model.row_multiple
        self._vector_ids = model.vocab_size, model.vocab_size + 1
        self._context = LlamaContext(
            model.path,
            num_cells=num_blocks * config.block_size + _SPARE_CELLS,
            # Lanes have two rows at most; a token that is fed may open one, which has one.
            max_rows=config.max_rows + config.max_num_seqs + 2 * num_lanes + model.row_multiple,
            num_threads=torch.get_num_threads(),
            is_exact=model.dtype is torch.float32,
        )
        self._no_states = torch.empty(0, self._context.hidden_size)
        vectors = range(model.vocab_size, self._context.vocab_size)
        self._decisions = Decisions(
            model.thought_parts,
            masked_ids=[*model.delimiter_ids, *vectors],
            num_lanes=num_lanes,
            hidden_size=self._context.hidden_size,
            vocab_size=self._context.vocab_size,
            dtype=torch.float32,
            device=model.device,
        )

    @torch.inference_mode()
    def run(self, batch: StepBatch) -> StepResult:
        """Compute the rows and sample. Writes to the cache and the lane buffers.

        Raises:
            MemoryError: the cache is full.
            RuntimeError: llama.cpp failed.
        """
        self._free(batch)
        plan = plan_passes(batch, first_lane=self._first_lane, vector_ids=self._vector_ids)
        for slot, start in plan.starts.items():
            self._roll_back(slot, start)
        for each in plan.passes:
            for copy in each.copies:
                self._context.copy_text(copy.source, copy.lane, copy.end)
            self._decode(each, needs_states=plan.needs_states and each is plan.passes[-1])
        self._note_fed(batch)
        last = plan.passes[-1]
        logits, states = self._outputs(last, needs_states=plan.needs_states)
        # A key or value that is not finite shows in the logits of each row that attends to it.
        with _one_torch_thread():
            return self._decisions.decide(
                batch, hidden=states, logits_of=lambda span: logits[span], broken_rows=[]
            )

    def release_unused_memory(self) -> None:
        """Nothing to do: llama.cpp allocates when it is loaded."""

    def close(self) -> None:
        """Free the weights and the cache."""
        self._context.close()

    def num_texts_in_use(self, batch: StepBatch) -> int:
        """How many sequences and lanes have cells, after what this batch releases is freed."""
        self._free(batch)
        return sum(self._context.last_position(text) >= 0 for text in range(MAX_TEXTS))

    def _decode(self, rows: Pass, *, needs_states: bool) -> None:
        """Compute a pass, filled up with rows that no other row attends to."""
        missing = -rows.num_rows % self._row_multiple
        if not missing or rows.num_rows < self._row_multiple:
            self._context.decode(rows, needs_states=needs_states)
            return
        rows.fill_up(missing, PADDING_TEXT)
        try:
            self._context.decode(rows, needs_states=needs_states)
        finally:
            self._context.free_text(PADDING_TEXT)

    def _free(self, batch: StepBatch) -> None:
        for slot in batch.released_slots:
            self._context.free_text(slot)
            self._fed[slot] = 0
        for slot in batch.released_lane_slots:
            self._context.free_text(self._first_lane + slot)

    def _roll_back(self, slot: int, start: int) -> None:
        """Free the cells of drafts that were dropped."""
        assert start <= self._fed[slot], "a sequence skips tokens"
        if start < self._fed[slot]:
            self._context.free_text(slot, start)
            self._fed[slot] = start

    def _note_fed(self, batch: StepBatch) -> None:
        row = 0
        for sequence in batch.sequences:
            rows = range(row, row + sequence.num_rows)
            self._fed[sequence.slot] += sum(batch.row_lanes[each] < 0 for each in rows)
            row += sequence.num_rows

    def _outputs(self, last: Pass, *, needs_states: bool) -> tuple[Tensor, Tensor]:
        """Logits and states of the picks. Views of llama.cpp's buffers; the states may be empty."""
        if not needs_states:
            return self._context.logits(last.num_rows - last.num_silent), self._no_states
        # llama.cpp has then computed the outputs of all rows.
        logits = self._context.logits(last.num_rows)[last.num_silent :]
        states = self._context.states(last.num_rows)[last.num_silent :]
        return logits, states


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Keep torch's threads asleep: awake, they wait for work on the cores that llama.cpp needs.

    With them, a pass of one row took 10.9 ms instead of 6.1.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)

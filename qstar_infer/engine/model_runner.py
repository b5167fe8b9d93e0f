"""One forward pass over the rows of a step, and what is decided from it."""

from collections.abc import Sequence as Items
from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.attention.paged import KVPool, PagedAttention
from qstar_infer.engine.choosing import ChoiceWanted, choose, pick_thoughts
from qstar_infer.engine.packed_linear import pack_linears
from qstar_infer.engine.rows import BaseJob, SequenceRows, TargetJob, ThoughtJob
from qstar_infer.engine.sequence import Choice, Lane, Sequence
from qstar_infer.engine.step_tensors import StepTensors, by_shape, upload
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import mix_logits


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResults:
    """What a step decided, keyed by lane."""

    drafts: dict[Lane, Choice]
    """From the base logits at a lane's anchor: a draft, or the decision if there is no thought."""
    thought_tokens: dict[Lane, int]
    """The next token of a thought."""
    targets: dict[Lane, Choice]
    """The decision of a lane whose thought is complete."""


class ModelRunner:
    """Owns the model, the key/value pool and the lanes' buffers."""

    def __init__(self, model: QuietStarModel, *, num_blocks: int, block_size: int) -> None:
        self._model = model
        self._block_size = block_size
        pack_linears(model.backbone)
        self._pool = KVPool(
            model.layer_shapes, num_blocks * block_size, dtype=model.dtype, device=model.device
        )
        self._buffers = _LaneBuffers(model)

    @torch.inference_mode()
    def run(self, steps: Items[SequenceRows]) -> StepResults:
        """Compute the rows and decide. Writes keys and values; changes no sequence."""
        steps = by_shape(steps)
        jobs = _Jobs(steps)
        hidden = self._forward(upload(steps, self._model.device))[jobs.rows]
        logits = self._model.logits(hidden)
        self._mask_delimiters_(logits)

        base_end = len(jobs.base)
        thought_end = base_end + len(jobs.thoughts)
        self._buffers.store(jobs.base, hidden[:base_end], logits[:base_end])
        mixed, base, weights = self._mix(jobs.targets, hidden[thought_end:], logits[thought_end:])

        num_targets = len(jobs.targets)
        wanted = jobs.wanted_base() + jobs.wanted_targets()
        choices = choose(
            logits[:base_end] if num_targets == 0 else torch.cat([logits[:base_end], mixed]),
            base_logits=base,
            mixing_weights=weights,
            wanted=wanted,
        )
        tokens = pick_thoughts(
            logits[base_end:thought_end], [(seq, job.lane) for seq, job in jobs.thoughts]
        )
        return StepResults(
            drafts={job.lane: choices[i] for i, (_, job) in enumerate(jobs.base)},
            thought_tokens={job.lane: tokens[i] for i, (_, job) in enumerate(jobs.thoughts)},
            targets={job.lane: choices[base_end + i] for i, (_, job) in enumerate(jobs.targets)},
        )

    def release_unused_memory(self) -> None:
        """Give back what a pass that ran out of memory had taken."""
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _forward(self, step: StepTensors) -> Tensor:
        """`[rows, hidden]`: last-layer states."""
        model = self._model
        embeddings = model.embed(step.token_ids)
        if step.start_rows:
            embeddings[step.start_rows] = model.as_embedding(model.thinking_parts.start_thought)
        if step.end_rows:
            embeddings[step.end_rows] = model.as_embedding(model.thinking_parts.end_thought)
        attention = PagedAttention(self._pool, step.groups, step.slots, block_size=self._block_size)
        return model.hidden(embeddings[None], step.positions[None], attention)[0]

    def _mix(
        self,
        targets: "list[tuple[Sequence, TargetJob]]",
        hidden_thought: Tensor,
        thought_logits: Tensor,
    ) -> tuple[Tensor, Tensor, list[float]]:
        """Mixed logits, base logits (`[targets, vocab]`, float32) and mixing weights."""
        if not targets:
            return thought_logits, thought_logits, []
        hidden_base, base_logits = self._buffers.load([job.lane for _, job in targets])
        weight = self._model.thinking_parts.talk_head.mixing_weight(hidden_base, hidden_thought)
        mixed = mix_logits(base_logits, thought_logits, weight)
        self._mask_delimiters_(mixed)
        return mixed, base_logits, weight.tolist()

    def _mask_delimiters_(self, logits: Tensor) -> None:
        if self._model.delimiter_ids:
            logits[:, list(self._model.delimiter_ids)] = float("-inf")


class _LaneBuffers:
    """What a lane needs again at its end: its anchor's state and base logits.

    The logits are kept rather than computed again, so that a mixing weight of 0 gives back exactly
    the distribution the draft was picked from.
    """

    def __init__(self, model: QuietStarModel) -> None:
        device, dtype = model.device, model.dtype
        self._hidden = torch.empty(0, model.hidden_size, dtype=dtype, device=device)
        self._logits = torch.empty(0, model.vocab_size, dtype=dtype, device=device)

    def store(self, base: "list[tuple[Sequence, BaseJob]]", hidden: Tensor, logits: Tensor) -> None:
        """Rows of `[jobs, hidden]` and `[jobs, vocab]` into the slots of their lanes."""
        kept = [(i, job.lane.buffer_slot) for i, (_, job) in enumerate(base)]
        rows = [i for i, slot in kept if slot is not None]
        slots = [slot for _, slot in kept if slot is not None]
        if not slots:
            return
        self._hidden = _grown(self._hidden, max(slots) + 1)
        self._logits = _grown(self._logits, max(slots) + 1)
        self._hidden[slots] = hidden[rows]
        self._logits[slots] = logits[rows].to(self._logits.dtype)

    def load(self, lanes: list[Lane]) -> tuple[Tensor, Tensor]:
        """`[lanes, hidden]` in the model's dtype and `[lanes, vocab]` in float32."""
        slots = [lane.buffer_slot for lane in lanes]
        return self._hidden[slots], self._logits[slots].float()


def _grown(buffer: Tensor, num_rows: int) -> Tensor:
    """The buffer with at least this many rows: at least doubled if it must grow."""
    if num_rows <= buffer.shape[0]:
        return buffer
    grown = buffer.new_empty(max(num_rows, 2 * buffer.shape[0]), buffer.shape[1])
    grown[: buffer.shape[0]] = buffer
    return grown


class _Jobs:
    """All jobs of a step, with the rows whose states they need: base, thoughts, targets."""

    def __init__(self, steps: Items[SequenceRows]) -> None:
        self.base: list[tuple[Sequence, BaseJob]] = []
        self.thoughts: list[tuple[Sequence, ThoughtJob]] = []
        self.targets: list[tuple[Sequence, TargetJob]] = []
        base_rows, thought_rows, target_rows = [], [], []
        first = 0
        for step in steps:
            self.base += [(step.seq, job) for job in step.base_jobs]
            self.thoughts += [(step.seq, job) for job in step.thought_jobs]
            self.targets += [(step.seq, job) for job in step.target_jobs]
            base_rows += [first + job.row for job in step.base_jobs]
            thought_rows += [first + job.row for job in step.thought_jobs]
            target_rows += [first + job.row for job in step.target_jobs]
            first += step.num_rows
        self.rows = base_rows + thought_rows + target_rows

    def wanted_base(self) -> list[ChoiceWanted]:
        return [
            ChoiceWanted(
                seq=seq,
                anchor=job.anchor,
                may_decide=not job.lane.blocks or seq.params.think_threshold is not None,
            )
            for seq, job in self.base
        ]

    def wanted_targets(self) -> list[ChoiceWanted]:
        return [
            ChoiceWanted(seq=seq, anchor=job.lane.anchor, may_decide=True)
            for seq, job in self.targets
        ]

"""Text that a lab model writes by itself, from the first token of held-out documents."""

from collections.abc import Sequence
from dataclasses import dataclass

from qstar_eval.answer_sets import AnswerQuestion
from qstar_infer.llm import LLM
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the engine counted while it wrote."""

    steps: int
    tokens: int
    accepted: int
    rejected: int

    @property
    def agreement(self) -> float | None:
        """Share of drafts that were right; None without drafts."""
        judged = self.accepted + self.rejected
        return self.accepted / judged if judged else None


def first_tokens(llm: LLM, asked: Sequence[AnswerQuestion], count: int) -> list[list[int]]:
    """Prompts: the first token of each question, distinct questions."""
    return [llm.tokenizer(question.prompt)["input_ids"][:1] for question in asked[:count]]


def text_params(num_tokens: int, *, seed: int, temperature: float, thinks: bool) -> SamplingParams:
    """A text of this many tokens, over the ends of documents; thoughts as the checkpoint says."""
    return SamplingParams(
        max_tokens=num_tokens,
        temperature=temperature,
        seed=seed,
        ignore_eos=True,
        num_thought_tokens=None if thinks else 0,
    )


def write_texts(
    llm: LLM, prompts: list[list[int]], params: Sequence[SamplingParams]
) -> tuple[list[RequestOutput], Counts]:
    """Write texts in one batch; also what the engine counted."""
    before = llm.stats()
    outputs = llm.generate(prompts, params)
    after = llm.stats()
    counts = Counts(
        steps=after.steps - before.steps,
        tokens=after.tokens - before.tokens,
        accepted=after.accepted - before.accepted,
        rejected=after.rejected - before.rejected,
    )
    return outputs, counts

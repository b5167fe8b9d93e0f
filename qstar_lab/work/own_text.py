"""Text that a lab model writes by itself, from the first token of held-out documents."""

from collections.abc import Iterable, Sequence
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

    @classmethod
    def sum(cls, counts: Iterable["Counts"]) -> "Counts":
        """The sum over several batches."""
        each = list(counts)
        return cls(
            steps=sum(one.steps for one in each),
            tokens=sum(one.tokens for one in each),
            accepted=sum(one.accepted for one in each),
            rejected=sum(one.rejected for one in each),
        )


def first_tokens(llm: LLM, asked: Sequence[AnswerQuestion], count: int) -> list[list[int]]:
    """Prompts: the first token of each question."""
    return [llm.tokenizer(question.prompt)["input_ids"][:1] for question in asked[:count]]


def beginnings(llm: LLM, asked: Sequence[AnswerQuestion], count: int) -> list[list[int]]:
    """Prompts: 1, 2, 3, ... tokens of the questions, since texts of temperature 0 with the same
    first token would be equal."""
    questions = [llm.tokenizer(question.prompt)["input_ids"] for question in asked[:count]]
    return [ids[: 1 + index % len(ids)] for index, ids in enumerate(questions)]


def write_texts(
    llm: LLM,
    prompts: list[list[int]],
    *,
    num_tokens: int,
    temperature: float,
    seed: int,
    thinks: bool = True,
) -> tuple[list[RequestOutput], Counts]:
    """Write texts in one batch; also what the engine counted.

    Args:
        prompts: token ids that each text begins with.
        num_tokens: of each text, over the ends of documents.
        temperature: of the text; thoughts are sampled unless it is 0.
        seed: of the first text; each has its own.
        thinks: where the checkpoint says. False: not at all.
    """
    params = [
        SamplingParams(
            max_tokens=num_tokens,
            ignore_eos=True,
            temperature=temperature,
            seed=seed + index,
            num_thought_tokens=None if thinks else 0,
        )
        for index in range(len(prompts))
    ]
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

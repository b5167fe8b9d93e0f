"""Asks the engine held-out questions, and compares its tokens with the definition's."""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from qstar_eval.answer_sets import AnswerQuestion
from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.checkpoint import load_model
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.outputs import RequestOutput
from qstar_infer.sampling_params import SamplingParams
from qstar_lab.work.files import read_questions, share, write_result
from qstar_lab.work.own_text import Counts, beginnings, write_texts

BATCH_SIZE = 64


def measure_served(
    *, result: str, checkpoint: str, questions: str, count: int, num_texts: int, num_tokens: int
) -> None:
    """Write accuracy, agreement, passes per token, and the share of tokens of the definition.

    Everything is at temperature 0 in float32, with the wavefront, and thinks where the checkpoint
    says. Compared are the answers to questions, and texts that the model writes by itself.

    Args:
        count: of questions.
        num_texts: written one by one, so that the passes are those of one sequence.
        num_tokens: of each text.
    """
    asked = read_questions(questions, count)
    llm = LLM(checkpoint, dtype="float32", device="cpu", max_num_seqs=BATCH_SIZE)
    answers = _answers(llm, asked)
    texts, counts = _texts(llm, beginnings(llm, asked, num_texts), num_tokens)
    # The engine changes the layers of its model, so the definition gets one of its own.
    definition = load_model(checkpoint, dtype="float32", device="cpu")
    same, compared = _compare(definition, [*answers, *texts])
    pairs = [(output.outputs[0], question) for output, question in zip(answers, asked, strict=True)]
    right = [output.text.startswith(question.answer) for output, question in pairs]
    exact = [output.thoughts[0].thought == question.working for output, question in pairs]
    write_result(
        result,
        {
            "accuracy": share(right),
            "exact": share(exact),
            "num_tokens": compared,
            "num_same_tokens": same,
            "agreement": counts.agreement,
            "passes_per_token": counts.steps / counts.tokens,
            "machine": {"cpu": describe_device(llm.model.device), **versions()},
        },
    )


def _answers(llm: LLM, asked: Sequence[AnswerQuestion]) -> list[RequestOutput]:
    params = SamplingParams(max_tokens=2, temperature=0.0)
    prompts = [question.prompt for question in asked]
    outputs = []
    for first in range(0, len(prompts), BATCH_SIZE):
        outputs += llm.generate(prompts[first : first + BATCH_SIZE], params)
    return outputs


def _texts(
    llm: LLM, prompts: list[list[int]], num_tokens: int
) -> tuple[list[RequestOutput], Counts]:
    outputs, counts = [], []
    for prompt in prompts:
        written, counted = write_texts(
            llm, [prompt], num_tokens=num_tokens, temperature=0.0, seed=0
        )
        outputs += written
        counts.append(counted)
    return outputs, Counts.sum(counts)


def _compare(model: QuietStarModel, outputs: Sequence[RequestOutput]) -> tuple[int, int]:
    """How many of the tokens are what the definition picks there, and how many there are."""
    same = compared = 0
    for first in range(0, len(outputs), BATCH_SIZE):
        batch = outputs[first : first + BATCH_SIZE]
        rows = [
            torch.tensor(output.prompt_token_ids + output.outputs[0].token_ids) for output in batch
        ]
        ids = pad_sequence(rows, batch_first=True)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        with torch.no_grad():
            picks = model.think(ids, mask, temperature=0.0).logits.argmax(-1)
        for row, output in enumerate(batch):
            start, count = len(output.prompt_token_ids), len(output.outputs[0].token_ids)
            expected = picks[row, start - 1 : start - 1 + count].tolist()
            pairs = zip(expected, output.outputs[0].token_ids, strict=True)
            same += sum(one == other for one, other in pairs)
            compared += count
    return same, compared

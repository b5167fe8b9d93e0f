"""Times the decoding of a lab model's own text, with thoughts and without."""

import statistics
import time
from typing import Any

from qstar_infer.llm import LLM
from qstar_infer.outputs import RequestOutput
from qstar_lab.work.files import read_questions, write_result
from qstar_lab.work.own_text import Counts, first_tokens, write_texts

NUM_REPEATS = 3
AT_ONCE = (1, 8)
"""Texts that are written at the same time."""
Written = tuple[list[RequestOutput], Counts]


def measure_speed(
    *, result: str, checkpoint: str, questions: str, num_texts: int, num_tokens: int
) -> None:
    """Write tokens per second of texts that the model samples, alone and several at once.

    With and without thoughts take turns, so that a change of the machine's speed affects both.

    Args:
        num_texts: of each repeat.
        num_tokens: of each text.
    """
    asked = read_questions(questions)
    llm = LLM(checkpoint, dtype="float32", device="cpu", max_num_seqs=max(AT_ONCE))
    prompts = first_tokens(llm, asked, num_texts)
    speeds = [{"num_sequences": size, **_timed(llm, prompts, size, num_tokens)} for size in AT_ONCE]
    write_result(result, {"speeds": speeds})


def _timed(llm: LLM, prompts: list[list[int]], size: int, num_tokens: int) -> dict[str, Any]:
    """Medians over repeats, each with seeds of its own."""

    def write(prompts: list[list[int]], *, seed: int, thinks: bool) -> Written:
        return _write(llm, prompts, size, num_tokens=num_tokens, seed=seed, thinks=thinks)

    write(prompts[: 2 * size], seed=0, thinks=True)  # warm up
    rates: dict[bool, list[float]] = {True: [], False: []}
    thinking: list[Written] = []
    for repeat in range(NUM_REPEATS):
        for thinks in (True, False):
            began = time.perf_counter()
            written = write(prompts, seed=1000 * repeat, thinks=thinks)
            rates[thinks].append(written[1].tokens / (time.perf_counter() - began))
            if thinks:
                thinking.append(written)
    counts = Counts.sum(counts for _, counts in thinking)
    length = llm.model_info.num_thought_tokens
    thought = sum(each.outputs[0].num_thought_tokens for outputs, _ in thinking for each in outputs)
    return {
        "plain": statistics.median(rates[False]),
        "thinking": statistics.median(rates[True]),
        "agreement": counts.agreement,
        "passes_per_token": counts.steps * size / counts.tokens,
        "share_with_thought": thought / length / counts.tokens if length else 0.0,
    }


def _write(
    llm: LLM, prompts: list[list[int]], size: int, *, num_tokens: int, seed: int, thinks: bool
) -> Written:
    """Write a text for each prompt: one by one, or as many at once as the engine may."""
    settings: dict[str, Any] = {"num_tokens": num_tokens, "temperature": 1.0, "thinks": thinks}
    if size > 1:
        return write_texts(llm, prompts, seed=seed, **settings)
    outputs, counts = [], []
    for index, prompt in enumerate(prompts):
        written, counted = write_texts(llm, [prompt], seed=seed + index, **settings)
        outputs += written
        counts.append(counted)
    return outputs, Counts.sum(counts)

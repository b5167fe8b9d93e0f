"""Times the decoding of a lab model's own text, with thoughts and without."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

from qstar_infer.bench.hardware import describe_device, versions
from qstar_infer.llm import LLM
from qstar_infer.outputs import RequestOutput
from qstar_lab.work.files import read_questions, write_result
from qstar_lab.work.own_text import Counts, first_tokens, text_params, write_texts

NUM_REPEATS = 5
BATCH_SIZES = (1, 8)


def measure_speed(*, result: str, checkpoint: str, questions: str, num_tokens: int) -> None:
    """Write tokens per second of texts that the model samples, alone and several at once.

    With and without thoughts take turns, so that a change of the machine's speed affects both.

    Args:
        num_tokens: of each text.
    """
    asked = read_questions(questions)
    llm = LLM(checkpoint, dtype="float32", device="cpu", max_num_seqs=max(BATCH_SIZES))
    speeds = []
    for size in BATCH_SIZES:
        prompts = first_tokens(llm, asked, size)
        _write(llm, prompts, num_tokens, seed=0, thinks=True)  # warm up
        speeds.append({"num_sequences": size, **_timed(llm, prompts, num_tokens)})
    machine = {"cpu": describe_device(llm.model.device), **versions()}
    write_result(result, {"speeds": speeds, "machine": machine})


def _timed(llm: LLM, prompts: list[list[int]], num_tokens: int) -> dict[str, Any]:
    """Medians over repeats, each with a seed of its own."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    thinking: list[tuple[list[RequestOutput], Counts]] = []
    for repeat in range(NUM_REPEATS):
        for thinks in (True, False):
            began = time.perf_counter()
            outputs, counts = _write(llm, prompts, num_tokens, seed=repeat, thinks=thinks)
            rates[thinks].append(counts.tokens / (time.perf_counter() - began))
            if thinks:
                thinking.append((outputs, counts))
    steps = sum(counts.steps for _, counts in thinking)
    tokens = sum(counts.tokens for _, counts in thinking)
    accepted = sum(counts.accepted for _, counts in thinking)
    judged = accepted + sum(counts.rejected for _, counts in thinking)
    length = llm.model_info.num_thought_tokens
    thought = sum(output.outputs[0].num_thought_tokens for outs, _ in thinking for output in outs)
    return {
        "plain": statistics.median(rates[False]),
        "thinking": statistics.median(rates[True]),
        "agreement": accepted / judged if judged else None,
        "passes_per_token": steps * len(prompts) / tokens,
        "share_with_thought": thought / length / tokens if length else 0.0,
    }


def _write(
    llm: LLM, prompts: Sequence[list[int]], num_tokens: int, *, seed: int, thinks: bool
) -> tuple[list[RequestOutput], Counts]:
    params = [
        text_params(num_tokens, seed=100 * seed + index, temperature=1.0, thinks=thinks)
        for index in range(len(prompts))
    ]
    return write_texts(llm, list(prompts), params)

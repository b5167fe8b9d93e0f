"""Exact match and maj@k, with a scripted model for what is read and a toy for what is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError

from qstar_eval.bootstrap import Bootstrap
from qstar_eval.config import EvalConfig, QuestionSetConfig
from qstar_eval.generation import ExactMatchTask, MajorityTask
from qstar_eval.questions import Question
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import EvalTarget, QuestionTask, question_seed
from qstar_infer.errors import CheckpointError
from qstar_infer.llm import LLM
from qstar_infer.outputs import CompletionOutput, FinishReason, RequestOutput
from qstar_infer.sampling.noise import derive_seed
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.text.stop_strings import StopStrings

from ..parity.toy import byte_tokenizer, make_toy

EGGS = Question(question="Eggs?", answer="18")
DAYS = Question(question="Days?", answer="365")
WHERE = Question(question="Where?", choices=("bank", "mall", "c", "d", "e"), answer="B")
THINKING = ThinkingMode(num_thought_tokens=2, temperature=0.5)
TOKENIZER = byte_tokenizer()
SO = "\nTherefore, the answer (arabic numerals) is"


@dataclass
class ScriptedLLM:
    """Answers prompts from a script, and remembers what it was asked."""

    replies: dict[str, list[str]]
    """For each prompt, the texts of its samples."""
    finish_reason: FinishReason = "stop"
    asked: list[tuple[list[str], list[SamplingParams]]] = field(default_factory=list)

    def generate(
        self, prompts: Sequence[list[int]], params: Sequence[SamplingParams]
    ) -> list[RequestOutput]:
        asked = [str(TOKENIZER.decode(prompt)) for prompt in prompts]
        self.asked.append((asked, list(params)))
        outputs = []
        for prompt, settings in zip(asked, params, strict=True):
            texts = self.replies[prompt]
            assert len(texts) == settings.n
            completions = [
                CompletionOutput(
                    index=index, text=cut(text, settings.stop), finish_reason=self.finish_reason
                )
                for index, text in enumerate(texts)
            ]
            outputs.append(RequestOutput(request_id="", prompt_token_ids=[], outputs=completions))
        return outputs


def cut(text: str, stop: tuple[str, ...]) -> str:
    """As the engine does: the text before the first stop string."""
    stops = StopStrings(stop, is_kept=False)
    return stops.push(text)[0] + stops.flush()


def scripted(llm: ScriptedLLM, mode: ThinkingMode = THINKING) -> EvalTarget:
    return EvalTarget(label="toy", model=make_toy().model, llm=cast(LLM, llm), mode=mode, seed=5)


def writing(**engine: Any) -> EvalTarget:
    """A toy that writes by itself, on an engine of these settings."""
    model = make_toy().model
    llm = LLM(model=model, **engine)
    return EvalTarget(label="toy", model=model, llm=llm, mode=THINKING, seed=3)


def set_of(questions: Sequence[Question], **changes: Any) -> QuestionSetConfig:
    kind = "gsm8k" if questions[0].choices is None else "commonsense_qa"
    values: dict[str, Any] = {"name": "m", "kind": kind, "path": "unread", "max_new_tokens": 40}
    return QuestionSetConfig.model_validate(values | changes)


def exact_match(*questions: Question, **changes: Any) -> ExactMatchTask:
    return ExactMatchTask(set_of(questions, **changes), questions)


def majority(*questions: Question, num_samples: int = 3, **changes: Any) -> MajorityTask:
    return MajorityTask(set_of(questions, num_samples=num_samples, **changes), questions)


def test_numbers_that_are_not_finite_are_an_error_of_the_checkpoint() -> None:
    target = writing()
    with torch.no_grad():
        target.model.backbone.lm_head.weight[5] = float("nan")
    with pytest.raises(CheckpointError, match=r"^toy: .*not finite.* in float32"):
        exact_match(EGGS).measure(target, [0])


def test_exact_match_reads_the_last_number() -> None:
    llm = ScriptedLLM(
        {
            "Q: Eggs?\nA:": [" 16 - 3 - 4 = 9, so $18.00."],
            "Q: Days?\nA:": [" I do not know."],
        },
        finish_reason="length",
    )
    task = exact_match(EGGS, DAYS)
    records = task.measure(scripted(llm), [1, 0])
    assert records == [
        {
            "index": 1,
            "text": " I do not know.",
            "finish_reason": "length",
            "parsed": None,
            "correct": False,
        },
        {
            "index": 0,
            "text": " 16 - 3 - 4 = 9, so $18.00.",
            "finish_reason": "length",
            "parsed": "18",
            "correct": True,
        },
    ]
    found = task.summarise([*records[::-1], records[0] | {"index": 2}], Bootstrap())
    assert found["exact_match"].value == pytest.approx(1 / 3)
    assert found["no_answer"].value == pytest.approx(2 / 3)


def test_exact_match_reads_the_first_letter() -> None:
    prompt = "Q: Where?\n(A) bank\n(B) mall\n(C) c\n(D) d\n(E) e\nA:"
    llm = ScriptedLLM({prompt: [" A mall, not (A)"]})
    (record,) = exact_match(WHERE).measure(scripted(llm), [0])
    assert (record["parsed"], record["correct"]) == ("B", True)


def test_exact_match_asks_for_greedy_text_in_the_targets_mode() -> None:
    llm = ScriptedLLM({"Q: Eggs?\nA:": ["1"], "Q: Days?\nA:": ["1"]})
    target = scripted(llm)
    exact_match(EGGS, DAYS).measure(target, [0, 1])
    ((_, params),) = llm.asked
    assert [settings.seed for settings in params] == [question_seed(target, i) for i in (0, 1)]
    for settings in params:
        assert (settings.n, settings.temperature, settings.max_tokens) == (1, 0.0, 40)
        assert (settings.num_thought_tokens, settings.thought_temperature) == (2, 0.5)


@pytest.mark.parametrize(
    ("rest", "parsed"),
    [
        ("\n\nThen 13 - 4 = 9.\n\nThat makes 9 * 2 = 18 dollars.", "18"),
        ("\nQ: How many are 5 and 6?\nA: 11", "13"),
        ("\n\n\nTable 7", "13"),
        ("\nB: 4", "13"),
    ],
    ids=["paragraphs", "another question", "two free lines", "a list of answers"],
)
def test_a_worked_answer_may_have_paragraphs(rest: str, parsed: str) -> None:
    """It was cut after its first paragraph, and a number from its middle was scored."""
    llm = ScriptedLLM({"Q: Eggs?\nA:": [f" 16 - 3 = 13.{rest}"]})
    (record,) = exact_match(EGGS).measure(scripted(llm), [0])
    assert record["parsed"] == parsed


def test_the_letter_is_in_the_first_paragraph() -> None:
    prompt = "Q: Where?\n(A) bank\n(B) mall\n(C) c\n(D) d\n(E) e\nA:"
    llm = ScriptedLLM({prompt: [" I do not know.\n\n(B) is a letter."]})
    (record,) = exact_match(WHERE).measure(scripted(llm), [0])
    assert (record["text"], record["parsed"]) == (" I do not know.", None)


CHAIN = "Q: Eggs?\nA: Let's think step by step."


def test_majority_votes_over_the_conclusions_of_chains() -> None:
    llm = ScriptedLLM(
        {
            CHAIN: [" nine. ", " ten", " one", ""],
            f"{CHAIN} nine.{SO}": [" 18."],
            f"{CHAIN} ten{SO}": [" 20 or 18"],
            f"{CHAIN} one{SO}": [" $18.00, not 5"],
            f"{CHAIN}{SO}": [" unknown"],
        }
    )
    task = majority(EGGS, num_samples=4)
    (record,) = task.measure(scripted(llm), [0])
    assert record == {
        "index": 0,
        "chains": [" nine. ", " ten", " one", ""],
        "finish_reasons": ["stop"] * 4,
        "answers": ["18", "20", "18", None],
        "voted": "18",
        "correct": True,
        "single_sample": 0.5,
    }
    found = task.summarise([record, record | {"correct": False}], Bootstrap())
    assert {name: estimate.value for name, estimate in found.items()} == {
        "maj@4": 0.5,
        "single_sample": 0.5,
        "no_answer": 0.25,
        "num_left_out": 0,
    }


def test_majority_samples_chains_and_decodes_conclusions_greedily() -> None:
    llm = ScriptedLLM({CHAIN: [" a", " b"]} | {f"{CHAIN} {c}{SO}": [" 1"] for c in "ab"})
    target = scripted(llm)
    majority(EGGS, num_samples=2).measure(target, [0])
    (_, (chain,)), (_, conclusions) = llm.asked
    seed = question_seed(target, 0)
    assert (chain.n, chain.temperature, chain.max_tokens, chain.seed) == (2, 0.9, 40, seed)
    assert "\n\n" not in chain.stop, "a chain may have paragraphs"
    assert [settings.seed for settings in conclusions] == [seed, derive_seed(seed, 1)]
    for settings in conclusions:
        assert (settings.n, settings.temperature, settings.max_tokens) == (1, 0.0, 12)
    for settings in (chain, *conclusions):
        assert (settings.num_thought_tokens, settings.thought_temperature) == (2, 0.5)


def test_majority_of_letters() -> None:
    prompt = "Q: Where?\n(A) bank\n(B) mall\n(C) c\n(D) d\n(E) e\nA: Let's think step by step."
    end = "\nTherefore, among A through E, the answer is"
    replies = [" A", " (B) mall", " mall"]
    llm = ScriptedLLM(
        {prompt: [" x", " y", " z"]}
        | {f"{prompt} {chain}{end}": [reply] for chain, reply in zip("xyz", replies, strict=True)}
    )
    (record,) = majority(WHERE).measure(scripted(llm), [0])
    assert (record["answers"], record["correct"]) == (["A", "B", "B"], True)


@pytest.mark.parametrize("task", [exact_match(EGGS), majority(EGGS)], ids=["exact", "majority"])
def test_random_thoughts_cannot_write(task: QuestionTask) -> None:
    assert task.kinds == {"sampled", "greedy"}


def test_a_run_that_could_generate_nothing_is_refused() -> None:
    """It ended well, with no result."""
    questions = [{"name": "q", "kind": "gsm8k", "path": "q.jsonl", "measures": ["exact_match"]}]
    settings = {"questions": questions, "thoughts": ["random"]}
    with pytest.raises(ValidationError, match="add sampled"):
        EvalConfig.model_validate(settings)
    EvalConfig.model_validate(settings | {"thought_lengths": [0, 2]})


@pytest.mark.parametrize(
    "task",
    [
        exact_match(EGGS, DAYS, EGGS, max_new_tokens=6),
        majority(EGGS, DAYS, EGGS, num_samples=2, max_new_tokens=6),
    ],
    ids=["exact", "majority"],
)
@pytest.mark.parametrize("max_num_seqs", [1, 2, 64])
def test_neither_batch_nor_order_changes_a_record(task: QuestionTask, max_num_seqs: int) -> None:
    """Nor how many the engine writes at once."""
    together = task.measure(writing(), [0, 1, 2])
    target = writing(max_num_seqs=max_num_seqs)
    assert task.measure(target, [0, 1, 2]) == together
    assert task.measure(target, [1]) == [together[1]]
    assert task.measure(target, [2, 0]) == [together[2], together[0]]
    target.llm.close()


LONG = Question(question="How many eggs are there? " * 5, answer="18")


@pytest.mark.parametrize(
    "task",
    [
        exact_match(EGGS, LONG, DAYS, max_new_tokens=4),
        majority(EGGS, LONG, DAYS, num_samples=1, max_new_tokens=4),
    ],
    ids=["exact", "majority"],
)
def test_a_question_longer_than_the_context_is_left_out(task: QuestionTask) -> None:
    """It ended the whole evaluation, though the other questions could be measured."""
    target = writing(max_model_len=112)
    records = task.measure(target, [0, 1, 2])
    assert [record["index"] for record in records] == [0, 1, 2]
    assert ["left_out" in record for record in records] == [False, True, False]
    assert "maximum context length is 112 tokens" in records[1]["left_out"]
    assert records[2] == task.measure(target, [2])[0]
    found = task.summarise(records, Bootstrap())
    assert found["num_left_out"].value == 1
    assert len(found) > 1
    assert "num_left_out" not in task.compare(records, records, Bootstrap())


def test_a_question_may_spell_a_delimiter() -> None:
    """The engine refused the prompt, which ended the evaluation."""
    question = Question(question="What does <|startthought|> do?", answer="1")
    (record,) = exact_match(question, max_new_tokens=1).measure(writing(), [0])
    assert "left_out" not in record


def test_one_that_is_too_long_does_not_part_all_others() -> None:
    """Each was then measured by itself, while the engine's other places stayed empty."""
    questions = [EGGS, DAYS, LONG, *[EGGS] * 13]
    task, target = exact_match(*questions, max_new_tokens=2), writing(max_model_len=112)
    calls: list[int] = []
    generate = target.llm.generate

    def counted(prompts: list[list[int]], params: list[SamplingParams]) -> list[RequestOutput]:
        outputs = generate(prompts, params)
        calls.append(len(outputs))
        return outputs

    target.llm.generate = counted  # type: ignore[assignment, method-assign]
    assert len(task.measure(target, range(16))) == 16
    assert sorted(calls) == [1, 2, 4, 8]


def test_equal_questions_are_sampled_apart() -> None:
    target = writing()
    task = majority(EGGS, EGGS, num_samples=2, max_new_tokens=6)
    chains = [chain for record in task.measure(target, [0, 1]) for chain in record["chains"]]
    assert len(set(chains)) == 4


def test_seeds_are_of_the_run_and_the_question() -> None:
    seeds = {
        question_seed(EvalTarget(label="", model=None, llm=None, mode=THINKING, seed=seed), index)  # type: ignore[arg-type]
        for seed in range(4)
        for index in range(100)
    }
    assert len(seeds) == 400

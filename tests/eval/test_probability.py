"""The paper's measure: which tokens it is taken among, and that it is what it says."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qstar_eval.bootstrap import Bootstrap
from qstar_eval.config import QuestionKind, QuestionSetConfig
from qstar_eval.probability import (
    MAX_TOKENS,
    AnswerTokens,
    ProbabilityTask,
    answer_probability,
    answer_tokens,
    encode_question,
)
from qstar_eval.questions import Question
from qstar_eval.scoring import ThinkingMode
from qstar_eval.task import EvalTarget, Record
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel

from ..parity.toy import byte_tokenizer, make_toy
from ..tolerances import TOY_LOGPROBS

ANSWER = 4 * TOY_LOGPROBS
"""Relative error of a probability whose log sums the log-probabilities of up to four tokens."""

NUMBERS = [
    Question(question="Two and two?", answer="4"),
    Question(question="How many eggs are in a dozen?", answer="12"),
    Question(question="Days?", answer="365"),
]
CHOICES = Question(question="Where?", choices=("a", "b b", "c", "d", "e"), answer="D")
GREEDY = ThinkingMode(num_thought_tokens=3, temperature=0.0)


def target_of(model: QuietStarModel, mode: ThinkingMode = GREEDY, seed: int = 0) -> EvalTarget:
    return EvalTarget(label="toy", model=model, llm=LLM(model=model), mode=mode, seed=seed)


def make_task(questions: list[Question], kind: QuestionKind = "gsm8k") -> ProbabilityTask:
    config = QuestionSetConfig(name="set", kind=kind, path="unread")
    return ProbabilityTask(config, questions, batch_size=8)


def by_hand(model: QuietStarModel, question: Question) -> tuple[float, float]:
    """Base and mixed: softmax over digits and newline at each token of the answer, multiplied."""
    ids = model.tokenizer(f"Q: {question.question}\nA: {question.answer}\n").input_ids
    allowed = [model.tokenizer(character).input_ids[0] for character in "0123456789\n"]
    trace = model.think(torch.tensor([ids]), temperature=0.0)
    base = mixed = 1.0
    for index in range(len(ids) - len(question.answer) - 1, len(ids)):
        right = allowed.index(ids[index])
        base *= float(trace.base_logits[0, index - 1, allowed].softmax(-1)[right])
        mixed *= float(trace.logits[0, index - 1, allowed].softmax(-1)[right])
    return base, mixed


def test_the_measure_is_the_definition_written_out() -> None:
    model = make_toy().model
    task = make_task(NUMBERS)
    records = task.measure(target_of(model), [0, 1, 2])
    expected = [by_hand(model, question) for question in NUMBERS]
    for record, (base, mixed) in zip(records, expected, strict=True):
        # float32 sums in another order, as rows are padded and states are mixed before the head.
        assert record["base_probability"] == pytest.approx(base, rel=ANSWER)
        assert record["mixed_probability"] == pytest.approx(mixed, rel=ANSWER)
        assert abs(base / mixed - 1) > 1e-2, "the toy's thoughts should matter"
    found = task.summarise(records, Bootstrap())
    means = torch.tensor(expected, dtype=torch.float64).mean(0).tolist()
    assert found["base_probability"].value == pytest.approx(means[0], rel=ANSWER)
    assert found["mixed_probability"].value == pytest.approx(means[1], rel=ANSWER)
    assert found["gain"].value == pytest.approx(means[1] - means[0], abs=2 * ANSWER * max(means))
    assert found["num_left_out"].value == 0


def test_letters_are_measured_among_letters_and_the_newline() -> None:
    model = make_toy().model
    (record,) = make_task([CHOICES], "commonsense_qa").measure(target_of(model), [0])
    text = "Q: Where?\n(A) a\n(B) b b\n(C) c\n(D) d\n(E) e\nA: D\n"
    ids = torch.tensor([model.tokenizer(text).input_ids])
    allowed = [model.tokenizer(character).input_ids[0] for character in "ABCDE\n"]
    shares = model.think(ids, temperature=0.0).logits[0, -3:-1, allowed].softmax(-1)
    expected = float(shares[0, 3] * shares[1, 5])
    assert record["mixed_probability"] == pytest.approx(expected, rel=ANSWER)


@pytest.mark.parametrize("kind", ["sampled", "random"])
def test_neither_batch_nor_order_changes_a_record(kind: str) -> None:
    mode = ThinkingMode(num_thought_tokens=2, kind=kind)  # type: ignore[arg-type]
    target = target_of(make_toy().model, mode, seed=7)
    task = make_task(NUMBERS)
    together = task.measure(target, [0, 1, 2])
    alone = [task.measure(target, [index])[0] for index in range(3)]
    backwards = task.measure(target, [2, 0])
    for one, other in [*zip(together, alone, strict=True), (together[2], backwards[0])]:
        assert one == pytest.approx(other, rel=ANSWER)
    other_seed = task.measure(target_of(target.model, mode, seed=8), [0, 1, 2])
    assert [record["mixed_probability"] for record in other_seed] != pytest.approx(
        [record["mixed_probability"] for record in together], rel=10 * ANSWER
    )


def test_a_zero_talk_head_changes_nothing_at_all() -> None:
    model = make_toy().model
    for parameter in model.thinking_parts.talk_head.parameters():
        torch.nn.init.zeros_(parameter)
    task = make_task(NUMBERS)
    records = task.measure(target_of(model), [0, 1, 2])
    gain = task.summarise(records, Bootstrap())["gain"]
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_what_cannot_be_measured_is_left_out_and_counted() -> None:
    num_other = len("Q: \nA: 12\n")
    questions = [
        Question(question="Half?", answer="0.5"),
        Question(question="Below?", answer="-2"),
        Question(question="x" * (MAX_TOKENS - num_other + 1), answer="12"),
        Question(question="x" * (MAX_TOKENS - num_other), answer="12"),
    ]
    task, target = make_task(questions), target_of(make_toy().model)
    records = task.measure(target, [3, 2, 1, 0])
    assert [record["index"] for record in records] == [3, 2, 1, 0]
    assert "left_out" not in records[0]
    assert records[1] == {"index": 2, "left_out": "257 tokens with the answer; the most is 256"}
    assert records[2]["left_out"] == "the answer -2 is not a whole number of at least 0"
    found = task.summarise(records[::-1], Bootstrap())
    assert found["num_left_out"].value == 3
    assert found["base_probability"].value == records[0]["base_probability"]
    assert list(task.summarise(records[1:], Bootstrap())) == ["num_left_out"]


def test_a_question_cannot_spell_a_special_token() -> None:
    question = Question(question="What is <eos> and <|startthought|>?", answer="1")
    model = make_toy().model
    tokens = answer_tokens(model.tokenizer, "gsm8k")
    encoded = encode_question(question, tokens, model.tokenizer, model.delimiter_ids)
    assert max(encoded.prompt_ids) < 256
    assert "left_out" not in make_task([question]).measure(target_of(model), [0])[0]


def test_targets_are_compared_over_the_questions_that_both_have() -> None:
    task = make_task(NUMBERS)
    ours: list[Record] = [
        {"index": 0, "base_probability": 0.5, "mixed_probability": 0.75},
        {"left_out": "long"},
    ]
    theirs: list[Record] = [{"index": 0, "base_probability": 0.5, "mixed_probability": 0.5}] * 2
    found = task.compare(ours, theirs, Bootstrap())
    assert {name: estimate.value for name, estimate in found.items()} == {
        "base_probability": 0.0,
        "mixed_probability": 0.25,
        "gain": 0.25,
    }


def test_broken_weights_are_an_error() -> None:
    model = make_toy().model
    torch.nn.init.constant_(model.backbone.lm_head.weight, float("nan"))
    with pytest.raises(CheckpointError, match="toy: question 1 of set-probability has a"):
        make_task(NUMBERS).measure(target_of(model), [1])


def merging_tokenizer(
    *merges: tuple[str, str], more: tuple[str, ...] = ()
) -> PreTrainedTokenizerFast:
    """Bytes, and whatever these merges make; no splitting before them."""
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges), *more]
    vocab = {token: index for index, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def mistral_like_tokenizer() -> PreTrainedTokenizerFast:
    """A stand-in by Mistral's rules: a space before every text, digits alone, letters with their
    space, the newline as a byte. Its ids are not Mistral's."""
    characters = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    characters += [*"Q:?A", *"BCDE", *"0123456789"]
    merges = [("▁", letter) for letter in "ABCDE"]
    vocab = {token: index for index, token in enumerate([*characters, *map("".join, merges)])}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def shown(tokenizer: PreTrainedTokenizerFast, tokens: AnswerTokens, answer: str) -> list[list[str]]:
    """The space that the prompt ends with, the answer, and the lists at its first two tokens."""
    ids = [tokens.lead_ids, tokens.answer_ids(answer), tokens.allowed_ids(0), tokens.allowed_ids(1)]
    return [list(tokenizer.convert_ids_to_tokens(list(row))) for row in ids]


def test_a_space_of_its_own_belongs_to_the_prompt() -> None:
    tokenizer = byte_tokenizer()
    listed = [*"0123456789", "Ċ"]
    expected = [["Ġ"], ["1", "8", "Ċ"], listed, listed]
    assert shown(tokenizer, answer_tokens(tokenizer, "gsm8k"), "18") == expected
    letters = shown(tokenizer, answer_tokens(tokenizer, "commonsense_qa"), "B")
    assert letters == [["Ġ"], ["B", "Ċ"], [*"ABCDE", "Ċ"], [*"ABCDE", "Ċ"]]


def test_a_space_within_the_digit_is_scored_with_it_and_digits_are_never_merged() -> None:
    joined = [("Ġ", digit) for digit in "0123456789"]
    tokenizer = merging_tokenizer(*joined, ("Ġ1", "8"), ("1", "8"))
    assert tokenizer.tokenize("A: 18") == ["A", ":", "Ġ18"]
    assert shown(tokenizer, answer_tokens(tokenizer, "gsm8k"), "18") == [
        [],
        ["Ġ1", "8", "Ċ"],
        [*(f"Ġ{digit}" for digit in "0123456789"), "Ċ"],
        [*"0123456789", "Ċ"],
    ]


def test_a_tokenizer_built_like_mistrals_has_the_papers_tokens() -> None:
    tokenizer = mistral_like_tokenizer()
    listed = [*"0123456789", "<0x0A>"]
    expected = [["▁"], ["1", "8", "<0x0A>"], listed, listed]
    assert shown(tokenizer, answer_tokens(tokenizer, "gsm8k"), "18") == expected
    letters = [*(f"▁{letter}" for letter in "ABCDE"), "<0x0A>"]
    assert shown(tokenizer, answer_tokens(tokenizer, "commonsense_qa"), "B") == [
        [],
        ["▁B", "<0x0A>"],
        letters,
        letters,
    ]


@pytest.mark.parametrize(
    ("merges", "says"),
    [
        ([("Ġ", "7")], "in different ways"),
        ([(":", "Ġ")], "as its prompt and then the answer"),
        ([("Ċ", "3")], "no token that is '3' alone"),
        ([("0", "Ċ")], "as its prompt and then the answer"),
    ],
)
def test_a_tokenizer_without_answer_tokens_is_refused(
    merges: list[tuple[str, str]], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        answer_tokens(merging_tokenizer(*merges), "gsm8k")


def test_the_product_ignores_every_other_token() -> None:
    tokenizer = byte_tokenizer()
    question = encode_question(NUMBERS[1], answer_tokens(tokenizer, "gsm8k"), tokenizer)
    assert tokenizer.decode(question.prompt_ids) == "Q: How many eggs are in a dozen?\nA: "
    assert str(tokenizer.decode(question.input_ids)).endswith("A: 12")
    assert [question.input_ids[anchor] for anchor in question.anchors] == tokenizer(" 12").input_ids
    logits = torch.full((4, 260), 50.0)
    logits[:, question.allowed_ids[0]] = 0.0
    assert answer_probability(logits, question) == pytest.approx(11.0**-3)

"""The lab's chat template turns a message into a question of the task, or says what it needs."""

from random import Random

import pytest
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

from qstar_lab.tasks.digit_chains import PRODUCTS, SUMS, DigitChains

from .toy_model import lab_tokenizer

FORM = r"a digit from 0 to 6 and 1 to 16 operations .* such as 5\*3\+4; this is "


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return lab_tokenizer()


def question(tokenizer: PreTrainedTokenizerFast, *messages: str) -> str:
    """The prompt of a conversation that begins with the user."""
    roles = ("user", "assistant")
    conversation = [
        {"role": roles[index % 2], "content": text} for index, text in enumerate(messages)
    ]
    text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    assert isinstance(text, str)
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]
    return text


@pytest.mark.parametrize("message", ["5*3+4", "5*3+4?", " 5 * 3 + 4 ? ", "5*3+4..............?"])
def test_a_message_becomes_a_question(tokenizer: PreTrainedTokenizerFast, message: str) -> None:
    assert question(tokenizer, message) == "5*3+4" + 14 * "." + "?"


def test_every_question_of_the_task_is_a_message(tokenizer: PreTrainedTokenizerFast) -> None:
    """As it is written, and without its padding."""
    task, random = DigitChains(), Random(0)
    seen: set[str] = set()
    for _ in range(300):
        problem = task.draw(random, held_out=True)
        seen |= set(problem.question)
        chain = "".join(problem.question[: 1 + problem.size])
        assert question(tokenizer, chain) == question(tokenizer, problem.prompt) == problem.prompt
    assert seen >= {*SUMS, *PRODUCTS}, "each operation was asked"


def test_earlier_turns_are_no_part_of_a_question(tokenizer: PreTrainedTokenizerFast) -> None:
    assert question(tokenizer, "1+1", "2", "6*2") == question(tokenizer, "6*2")


@pytest.mark.parametrize(
    "message",
    ["", "?", "5", "hello", "7+1", "5+7", "5+0", "5*1", "5/2", "5+", "5+1-", "12+3", "5\n+1"],
)
def test_another_message_is_refused_with_what_a_question_is(
    tokenizer: PreTrainedTokenizerFast, message: str
) -> None:
    with pytest.raises(TemplateError, match=FORM):
        question(tokenizer, message)


def test_a_chain_has_at_most_16_operations(tokenizer: PreTrainedTokenizerFast) -> None:
    assert question(tokenizer, "5" + 16 * "+1") == "5" + 16 * "+1" + "?"
    with pytest.raises(TemplateError, match="at most 16 operations; this has 17"):
        question(tokenizer, "5" + 17 * "+1")


def test_a_system_message_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "5*3+4"},
    ]
    with pytest.raises(TemplateError, match="takes no other instructions"):
        tokenizer.apply_chat_template(conversation)

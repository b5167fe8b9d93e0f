"""What a question looks like to a model. Text only: knows no tokenizer.

The zero-shot prompts `Q: ...\\nA:` and the listing of choices as `(A) bank`, one on a line, are
those of the paper's public evaluation (`eval_helpers.py`). So are `Let's think step by step.` and
`Therefore, the answer (arabic numerals) is` (`zero-shotcot-eval.py`), which come from Kojima et
al. 2022 (arXiv 2205.11916). The paper voted on GSM8K only; for CommonsenseQA we take what Kojima
et al. used.
"""

from qstar_eval.questions import LETTERS, Question, QuestionKind

ANSWER_MARKER = "\nA:"
_STEP_BY_STEP = " Let's think step by step."
_CONCLUSIONS: dict[QuestionKind, str] = {
    "gsm8k": "\nTherefore, the answer (arabic numerals) is",
    "commonsense_qa": f"\nTherefore, among {LETTERS[0]} through {LETTERS[-1]}, the answer is",
}


def direct_prompt(question: Question) -> str:
    """Up to and with `A:`; no space after it."""
    lines = [f"Q: {question.question}"]
    if question.choices is not None:
        lines += [
            f"({letter}) {choice}" for letter, choice in zip(LETTERS, question.choices, strict=True)
        ]
    return "\n".join(lines) + ANSWER_MARKER


def chain_prompt(question: Question) -> str:
    """Asks for a chain of thought."""
    return direct_prompt(question) + _STEP_BY_STEP


def conclusion_prompt(question: Question, chain: str, kind: QuestionKind) -> str:
    """Asks for the answer at the end of a chain of thought, in no more than a few tokens."""
    return (chain_prompt(question) + chain).rstrip() + _CONCLUSIONS[kind]

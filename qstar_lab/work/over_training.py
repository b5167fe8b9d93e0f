"""Measures the thoughts of a training run's saved states, and of the model before it."""

from pathlib import Path
from typing import Any

from qstar_eval.answer_sets import AnswerQuestion, measure_answers
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import EVERYWHERE
from qstar_lab.work.files import read_questions, share, write_result
from qstar_train.config import TrainConfig
from qstar_train.config_file import load_config
from qstar_train.trainer.model_setup import model_to_train, unscale_vectors
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.state import load_weights, saved_states, state_step


def measure_over_training(
    *, result: str, config: str, questions: str, count: int, length: int, seed: int
) -> None:
    """Write how many thoughts are the exact working, and how many answers are right, by step.

    Args:
        config: of the run, a YAML file.
        count: of questions.
        length: of the thoughts, which are sampled.
    """
    settings = load_config(TrainConfig, Path(config))
    asked = read_questions(questions, count)
    states = saved_states(Path(settings.output) / "states")
    steps: list[Path | None] = [None, *states]
    points = []
    for state in steps:
        model = _model_at(settings, state)
        step = 0 if state is None else state_step(state)
        points.append({"step": step, **_measured(model, asked, length=length, seed=seed)})
    write_result(result, {"points": points})


def _model_at(settings: TrainConfig, state: Path | None) -> QuietStarModel:
    """The model with the weights of a saved state; None: before the first step."""
    module = ObjectiveModule(model_to_train(settings, device="cpu"), settings.objective)
    if state is not None:
        load_weights(state, module)
    unscale_vectors(module.model.thinking_parts)
    return module.model.eval()


def _measured(
    model: QuietStarModel, asked: list[AnswerQuestion], *, length: int, seed: int
) -> dict[str, Any]:
    # Behind each question, also while the gate has not learned to open there.
    records = measure_answers(
        model, asked, num_thought_tokens=length, seed=seed, thinking=EVERYWHERE
    )
    return {
        "exact": share([bool(record.is_working) for record in records]),
        "accuracy": share([record.is_mixed_right for record in records]),
    }

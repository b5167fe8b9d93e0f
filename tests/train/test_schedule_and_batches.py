"""Learning rates by step and part, and who trains on which window."""

import pytest

from qstar_infer.errors import ConfigError
from qstar_train.config import ObjectiveConfig, OptimizerConfig
from qstar_train.trainer.batches import BatchPlan
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.schedule import (
    parameter_groups,
    rate_factor,
    thought_length,
    true_share,
)

from ..parity.toy import make_toy


@pytest.mark.parametrize(
    ("schedule", "want"),
    [
        ("constant", [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ("linear", [1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25]),
        ("cosine", [1 / 3, 2 / 3, 1, 0.8535534, 0.5, 0.1464466]),
    ],
)
def test_rates_rise_and_then_follow_the_schedule(schedule: str, want: list[float]) -> None:
    settings = OptimizerConfig.model_validate({"schedule": schedule, "warmup_steps": 2})
    assert [rate_factor(step, settings, 6) for step in range(6)] == pytest.approx(want)


def test_the_share_of_true_thoughts_falls_evenly_to_nothing() -> None:
    shares = [true_share(step, 0.5, 4) for step in range(6)]
    assert shares == [0.5, 0.375, 0.25, 0.125, 0.0, 0.0]
    assert true_share(0, 0.0, 4) == 0.0


def test_every_thought_length_has_its_share_and_a_step_its_own() -> None:
    drawn = [thought_length(step, [1, 2, 4], seed=3) for step in range(600)]
    assert {length: drawn.count(length) > 150 for length in (1, 2, 4)} == {
        1: True,
        2: True,
        4: True,
    }
    assert drawn[100:] == [thought_length(step, [1, 2, 4], seed=3) for step in range(100, 600)]
    assert drawn != [thought_length(step, [1, 2, 4], seed=4) for step in range(600)]
    assert thought_length(0, None, seed=0) is None


def test_each_part_has_its_own_rate() -> None:
    module = ObjectiveModule(make_toy().model.requires_grad_(True), ObjectiveConfig())
    settings = OptimizerConfig(
        learning_rate=1e-6, talk_head_learning_rate=1e-3, vector_learning_rate=1e-4
    )
    groups = parameter_groups(module, settings)
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    rates = {name: rate_of[id(p)] for name, p in module.named_parameters()}
    assert len(rates) == len(list(module.parameters()))
    assert rates["model.thought_parts.talk_head.0.weight"] == 1e-3
    assert rates["model.thought_parts.start_thought"] == 1e-4
    assert rates["model.backbone.lm_head.weight"] == 1e-6


@pytest.mark.parametrize(("num_processes", "micro"), [(1, 8), (1, 2), (2, 2), (4, 1)])
def test_every_window_of_a_batch_has_one_owner(num_processes: int, micro: int) -> None:
    plans = [
        BatchPlan.of(8, micro, num_processes=num_processes, process_index=index)
        for index in range(num_processes)
    ]
    owned = [[place for mine in plan.mine() for place in range(8)[mine]] for plan in plans]
    assert sorted(place for places in owned for place in places) == list(range(8))
    assert [len(places) for places in owned] == [8 // num_processes] * num_processes
    assert plans[0].num_rounds * micro == len(owned[0])


def test_batches_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size = 5 cannot be divided evenly among 2"):
        BatchPlan.of(5, None, num_processes=2, process_index=0)
    with pytest.raises(ConfigError, match="micro_batch_size = 3 does not divide"):
        BatchPlan.of(8, 3, num_processes=2, process_index=0)
    with pytest.raises(ConfigError, match="think_every = 3 does not divide the 4 windows"):
        BatchPlan.of(8, None, think_every=3, num_processes=2, process_index=0)

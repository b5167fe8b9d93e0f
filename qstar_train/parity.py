"""Hold the objective to training vectors of the paper's own code.

    python -m qstar_train.parity DIRECTORY

The directory has a `checkpoint/`, `train.json` and `train.safetensors`. Prints the largest relative
deviation of each quantity over all cases; exits with 1 past the tolerance, with 2 where there is
nothing to compare with.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.reading import read_json
from qstar_infer.checkpoint.tensors import read_tensors
from qstar_infer.errors import ConfigError, QStarError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.objective.config import ObjectiveSettings
from qstar_train.objective.objective import Objective, evaluate_objective
from qstar_train.objective.vectors import scale_vectors
from qstar_train.sampling import Pick

TOLERANCE = 1e-4
Pair = tuple[str, Tensor, Tensor]
"""A quantity's name, ours, and the paper's."""
_STORED_GRADIENTS = (
    "start_embedding",
    "end_embedding",
    "model.norm.weight",
    "talk_head.0.4.weight",
)
"""The gradients that are kept whole; of the others there are norms."""


class _Values(dict[str, Any]):
    """What was stored; what is missing is named, so that no quantity goes uncompared."""

    def __missing__(self, key: str) -> Any:
        raise ConfigError(f"The training vectors lack {key}. Give a whole directory of them.")


def ranked_choice(num_passes: int, *, by_rank: bool) -> Pick:
    """The vectors' stand-in for sampling: the top token, or in pass p the (p + 1)-th."""

    def pick(logits: Tensor, role: int, anchors: Tensor) -> Tensor:
        del role, anchors
        ranked = logits.topk(num_passes, dim=-1).indices
        rows = torch.arange(logits.shape[0])
        ranks = rows % num_passes if by_rank else torch.zeros_like(rows)
        return ranked[rows, :, ranks]

    return pick


def load_case_model(directory: Path, case: dict[str, Any]) -> QuietStarModel:
    """The checkpoint as the case trained it, with gradients."""
    is_fresh = case["fresh_first_step"]
    model = load_model(
        directory / "checkpoint",
        dtype="float32",
        device="cpu",
        thought_vectors="literal" if is_fresh else "kept",
    )
    if is_fresh:  # the literal first step also zeroes the talk head's last layer
        torch.nn.init.zeros_(model.thinking_parts.talk_head[4].weight)  # type: ignore[arg-type]
    scale_vectors(model.thinking_parts, ObjectiveSettings().embedding_scale)
    return model.requires_grad_(True)


def compare_case(directory: Path, name: str, case: dict[str, Any]) -> Iterator[Pair]:
    """Every quantity of one case, ours beside the paper's."""
    vectors = _Values(read_tensors(directory / "train.safetensors"))
    prefix = f"{name}."
    want = _Values(
        (key.removeprefix(prefix), value)
        for key, value in vectors.items()
        if key.startswith(prefix)
    )
    model = load_case_model(directory, case)
    config = ObjectiveSettings(num_talk_tokens=case["n_ahead_talk"], num_passes=case["n_passes"])
    got = evaluate_objective(
        model,
        vectors["input_ids"].long(),
        vectors["attention_mask"],
        config,
        pick=ranked_choice(config.num_passes, by_rank=case["thought_rule"] == "rank"),
    )
    yield from _compare_values(got, want, case, model.num_thought_tokens)
    yield from _compare_gradients(model, got.language, "ce_only", want, case)
    yield from _compare_gradients(model, got.total, "total", want, case)


def _compare_values(
    got: Objective, want: dict[str, Tensor], case: dict[str, Any], num_thought_tokens: int
) -> Iterator[Pair]:
    end = num_thought_tokens + 2  # the paper's index of the end vector
    yield "base loss", got.base_losses, want["loss_list.00"]
    for s, losses in enumerate(got.talk_losses):
        yield "talk loss", losses, want[f"loss_list.{end + s:02d}"]
    yield "reward", got.rewards, want["policy_reward"]
    is_real = want["loss_list.00"] != 0
    for k, loglik in enumerate(got.loglikelihoods):
        theirs = want[f"action_loglikelihoods.{k:02d}"]
        yield "log-likelihood", (loglik[:, :-1] * is_real), theirs * is_real
    yield "policy loss", got.policy, torch.tensor(case["dqn_loss_list"])
    yield "language loss", got.language, torch.tensor(case["loss_ce_only"])
    yield "total loss", got.total, torch.tensor(case["loss_total"])


def _compare_gradients(
    model: QuietStarModel, loss: Tensor, kind: str, want: dict[str, Tensor], case: dict[str, Any]
) -> Iterator[Pair]:
    model.zero_grad()
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    ours = {_paper_name(name): p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms = _Values(case[f"grad_norms_{kind}"])
    for name, gradient in ours.items():
        yield f"gradient norm, {kind}", gradient.norm(), torch.tensor(norms[name])
    for name in _STORED_GRADIENTS:
        theirs = want[f"grad_{kind}.{name}"]
        # The stored vectors have a second row, a spread that the code leaves unused.
        is_vector = name.endswith("_embedding")
        yield f"gradient, {kind}", ours[name], theirs[0] if is_vector else theirs


def _paper_name(name: str) -> str:
    """Our parameter's name in the paper's checkpoint."""
    name = name.removeprefix("backbone.").removeprefix("thought_parts.")
    if name.startswith("talk_head."):
        return name.replace("talk_head.", "talk_head.0.")
    for vector in ("start", "end"):
        name = name.replace(f"parametrizations.{vector}_thought.original", f"{vector}_embedding")
    return name


def relative_deviation(ours: Tensor, theirs: Tensor) -> float:
    """Largest deviation over the largest magnitude of what is compared.

    Infinite where a number is not finite: NaN is neither more nor less than a tolerance.
    """
    scale = max(float(theirs.abs().max()), 1e-12)
    deviation = float((ours.detach() - theirs).abs().max()) / scale
    return deviation if math.isfinite(deviation) else math.inf


def compare_golden(directory: Path) -> dict[str, tuple[float, str]]:
    """The largest relative deviation of each quantity over all cases, and the case it was in.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: there are no cases, or one lacks a quantity.
    """
    path = directory / "train.json"
    cases = read_json(path).get("cases")
    if not isinstance(cases, dict) or not cases:
        raise ConfigError(f"{path} holds no cases. Give a directory of training vectors.")
    worst: dict[str, tuple[float, str]] = {}
    for name, case in cases.items():
        for quantity, ours, theirs in compare_case(directory, name, _Values(case)):
            deviation = relative_deviation(ours, theirs)
            if deviation > worst.get(quantity, (-1.0, ""))[0]:
                worst[quantity] = (deviation, name)
    return worst


def main() -> int:
    """Print the table; 1 if anything deviates past the tolerance, 2 if it cannot be compared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    try:
        worst = compare_golden(directory)
    except QStarError as error:
        Console(stderr=True).print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 2
    table = Table("quantity", "largest relative deviation", "in case")
    for quantity, (deviation, name) in worst.items():
        table.add_row(quantity, f"{deviation:.1e}", name)
    Console().print(table)
    return int(not all(deviation <= TOLERANCE for deviation, _ in worst.values()))


if __name__ == "__main__":
    sys.exit(main())

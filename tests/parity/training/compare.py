"""Compare the training objective with training vectors of the paper's own code.

Every stored number is compared, except:
- numbers at padded positions, on which nothing depends;
- the token of the last iteration, which is not fed;
- the gap between the likeliest thought tokens, which describes the vectors and not the objective.

Where the advantages of a case are only rounding errors, its policy loss is compared on the scale of
losses times log-likelihoods (`TrainingCase.advantages_are_rounding`). The objective does not return
the middle losses, their weights and the logits; `_steps` computes them from the same parts.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from qstar_infer.attention.parallel import ParallelThoughts
from qstar_infer.checkpoint import load_model
from qstar_infer.errors import ConfigError, QStarError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import mix_states
from qstar_train.objective.chunked_logits import token_losses
from qstar_train.objective.losses import mean_counted
from qstar_train.objective.objective import Objective, evaluate_objective
from qstar_train.sampling import Pick
from qstar_train.trainer.model_setup import scale_vectors

from .vectors import Replay, Stored, TrainingCase, read_cases

TOLERANCE = 1e-4
_STORED_GRADIENTS = (
    "start_embedding",
    "end_embedding",
    "model.norm.weight",
    "talk_head.0.4.weight",
)
"""Gradients that are stored completely; for the others only norms are."""


class Pair(NamedTuple):
    """A quantity, ours and the paper's."""

    quantity: str
    ours: Tensor
    theirs: Tensor
    is_compared: Tensor | None = None
    """bool, of their shape or its first dimensions; None for everywhere."""
    scale: float = 0.0
    """Deviations are relative to this if the paper's numbers are smaller."""


def ranked_choice(num_passes: int, *, by_rank: bool) -> Pick:
    """The vectors' stand-in for sampling: the top token, or in pass p the (p + 1)-th."""

    def pick(logits: Tensor, stream_index: int, anchors: Tensor) -> Tensor:
        del stream_index, anchors
        ranked = logits.topk(num_passes, dim=-1).indices
        rows = torch.arange(logits.shape[0])
        ranks = rows % num_passes if by_rank else torch.zeros_like(rows)
        return ranked[rows, :, ranks]

    return pick


def rule_of(case: TrainingCase) -> Pick | None:
    """How the case's thought tokens were chosen; None if that is unknown."""
    if case.by_rank is None:
        return None
    return ranked_choice(case.config.num_passes, by_rank=case.by_rank)


def load_case_model(case: TrainingCase) -> QuietStarModel:
    """The checkpoint as the case trained it, with gradients enabled."""
    is_fresh = case.values["fresh_first_step"]
    model = load_model(
        case.checkpoint,
        dtype="float32",
        device="cpu",
        num_thought_tokens=case.num_thought_tokens,
        thought_vectors="literal" if is_fresh else "kept",
    )
    if is_fresh:  # the literal first step also zeroes the talk head's last layer
        torch.nn.init.zeros_(model.thinking_parts.talk_head[4].weight)  # type: ignore[arg-type]
    scale_vectors(model.thinking_parts, case.config.embedding_scale)
    return model.requires_grad_(True)


def trained_labels(model: QuietStarModel, input_ids: Tensor) -> Tensor:
    """The tokens whose prediction has a loss in the paper's code: all but the pad id, which is eos.

    So the paper never learns to end a text. Training here does: an eos in a window is text.

    Returns:
        bool, of the shape of `input_ids`.
    """
    tokenizer = model.tokenizer
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return torch.ones_like(input_ids).bool() if pad is None else input_ids.ne(pad)


def compare_case(case: TrainingCase) -> Iterator[Pair]:
    """Every quantity of one case, ours and the paper's.

    Raises:
        CheckpointError, ConfigError: the checkpoint cannot be loaded, or a quantity is missing.
        RequestError: the input ids or their mask are invalid.
    """
    model = load_case_model(case)
    is_real = model.check_batch(case.input_ids, case.attention_mask, case.num_thought_tokens)
    replay = Replay(case, rule_of(case))
    replay.check_ids_below(model.vocab_size)
    got = evaluate_objective(
        model,
        case.input_ids,
        is_real,
        case.config,
        pick=replay,
        is_label=trained_labels(model, case.input_ids),
    )
    yield _compare_tokens(model, case, replay)
    yield from _compare_steps(model, got, case)
    yield from _compare_policy(got, case)
    yield from _compare_gradients(model, got.language, "ce_only", case)
    if case.has_total_gradients:
        yield from _compare_gradients(model, _reproducible_total(got, case), "total", case)


def _compare_tokens(model: QuietStarModel, case: TrainingCase, replay: Replay) -> Pair:
    """1 where a fed token is not the expected delimiter, choice of the rule, or true token.

    The last iteration's token is not fed, and nothing depends on tokens past the end of a row.
    """
    ids, is_real = case.rows
    end = case.n_ahead - 2
    want = replay.history.clone()
    want[:, :, 0], want[:, :, end] = model.delimiter_ids
    for m in range(1, case.config.num_talk_tokens):
        want[:, :-m, end + m] = ids[:, m:]
    differs = replay.history != want
    differs[:, :, 1:end] = replay.differs
    is_compared = is_real.unsqueeze(-1).expand_as(differs)
    zeros = torch.zeros(differs.shape)
    return Pair("thought and talk tokens", differs.float(), zeros, is_compared, scale=1.0)


@torch.no_grad()
def _steps(model: QuietStarModel, case: TrainingCase) -> Iterator[tuple[Tensor, Tensor]]:
    """Run every iteration that feeds a token, from the paper's iteration 1 on, on stored tokens.

    The objective computes only the last ones; these include the middle ones.

    Yields:
        With m true tokens fed after the thought, the mixed states `[rows, seq - m, hidden]` and
        the mixing weights `[rows, seq - m]`.
    """
    ids, is_real = case.rows
    history, parts = case.tensors["token_history"].long(), model.thinking_parts
    vectors = {1: parts.start_thought, case.n_ahead - 1: parts.end_thought}
    attention = ParallelThoughts(is_real)
    base = model.hidden(model.embed(ids), attention.everywhere, attention.next_pass())
    for i in range(1, case.n_ahead + case.config.num_talk_tokens - 1):
        fed = vectors[i].expand_as(base) if i in vectors else model.embed(history[:, :, i - 1])
        thought = model.hidden(fed, attention.anchors + i, attention.next_pass())
        m = max(0, i - case.n_ahead + 1)
        yield mix_states(model, base[:, m:], thought[:, : ids.shape[1] - m])


def _compare_steps(model: QuietStarModel, got: Objective, case: TrainingCase) -> Iterator[Pair]:
    """Losses, mixing weights and logits of each iteration."""
    want, end = case.tensors, case.n_ahead - 1  # the paper's index of the end vector
    ids, is_real = case.rows
    is_label = is_real & trained_labels(model, ids)
    steps = list(_steps(model, case))
    middle = [
        token_losses(model, mixed[:, :-1], ids[:, 1:], is_label[:, 1:])
        for mixed, _ in steps[: end - 1]
    ]
    kinds = {"base loss": [got.base_losses], "middle loss": middle, "talk loss": got.talk_losses}
    losses = [(kind, tensor) for kind, tensors in kinds.items() for tensor in tensors]
    for i, (kind, tensor) in enumerate(losses):
        yield Pair(kind, tensor, want[f"loss_list.{i:02d}"])
    means = torch.stack([mean_counted(tensor) for _, tensor in losses])
    yield from _one_by_one("mean loss", means, case.values.numbers("loss_mean_per_index"))

    seq, theirs = ids.shape[1], want["mixing_weights"]
    weights = torch.stack([_padded(weight, seq) for _, weight in steps], -1)
    # A weight after m true tokens belongs to the base state at the last of them.
    mixed_with = [_padded(is_real[:, seq - weight.shape[1] :], seq) for _, weight in steps]
    is_compared = torch.stack(mixed_with, -1)
    yield Pair("mixing weight", weights, theirs, is_compared)
    for s, weight in enumerate(got.mixing_weights):
        yield Pair("mixing weight", weight, theirs[:, : -1 - s, end - 1 + s], is_real[:, s:-1])
    if "logits_last" in want:
        logits = _padded(model.logits(steps[-1][0]), seq)
        yield Pair("logits", logits, want["logits_last"], is_compared[..., -1])


def _padded(rows: Tensor, seq: int) -> Tensor:
    """Pad `[rows, positions, ...]` to `[rows, seq, ...]` with zeros."""
    padding = rows.new_zeros(rows.shape[0], seq - rows.shape[1], *rows.shape[2:])
    return torch.cat([rows, padding], dim=1)


def _one_by_one(quantity: str, ours: Tensor, theirs: Tensor, scale: float = 0.0) -> Iterator[Pair]:
    """One pair for each number, so that each deviation is relative to its own number."""
    if ours.shape != theirs.shape:
        yield Pair(quantity, ours, theirs)
    yield from (Pair(quantity, *both, scale=scale) for both in zip(ours, theirs, strict=True))


def _compare_policy(got: Objective, case: TrainingCase) -> Iterator[Pair]:
    """Rewards, log-likelihoods, and the scalar losses."""
    want, values = case.tensors, case.values
    reward_scale = case.loss_scale if case.rewards_are_rounding else 0.0
    yield Pair("reward", got.rewards, want["policy_reward"], scale=reward_scale)
    # Rewards of both signs cancel in their mean; their rounding errors do not.
    mean_scale = max(reward_scale, 0.05 * float(want["policy_reward"].abs().mean()))
    theirs = values.numbers("policy_reward_mean")
    yield Pair("mean reward", got.rewards.mean(), theirs, scale=mean_scale)
    _, is_real = case.rows
    for k, loglik in enumerate(got.loglikelihoods):
        theirs = want[f"action_loglikelihoods.{k:02d}"]
        yield Pair("log-likelihood", loglik[:, :-1], theirs, is_real[:, :-1])
    policy_scale, policy_share = 0.0, 0.0
    if case.advantages_are_rounding:
        loglik_scale = max(float(loglik.detach().abs().max()) for loglik in got.loglikelihoods)
        policy_scale = case.loss_scale * loglik_scale
        policy_share = case.config.policy_weight * values.number("dqn_loss")
    each = values.numbers("dqn_loss_list")
    yield from _one_by_one("policy loss", got.policy, each, policy_scale)
    mean_loss = values.numbers("dqn_loss")
    yield Pair("mean policy loss", got.policy.mean(), mean_loss, scale=policy_scale)
    yield Pair("language loss", got.language, values.numbers("loss_ce_only"))
    theirs = values.numbers("loss_total") - policy_share
    yield Pair("total loss", _reproducible_total(got, case), theirs)


def _reproducible_total(got: Objective, case: TrainingCase) -> Tensor:
    """The total, without the policy loss if that is only rounding."""
    if case.advantages_are_rounding:
        return got.total - case.config.policy_weight * got.policy.mean()
    return got.total


def _compare_gradients(
    model: QuietStarModel, loss: Tensor, kind: str, case: TrainingCase
) -> Iterator[Pair]:
    """Every gradient that either side has; one that is missing here is 0."""
    model.zero_grad()
    loss.backward(retain_graph=True)
    ours = {_paper_name(name): p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms = Stored(f"{case.name}.grad_norms_{kind}.", case.values[f"grad_norms_{kind}"])
    for name in dict.fromkeys([*ours, *norms]):
        norm = ours[name].norm() if name in ours else torch.tensor(0.0)
        yield Pair(f"gradient norm, {kind}", norm, norms.numbers(name))
    prefix = f"grad_{kind}."
    stored = (key.removeprefix(prefix) for key in case.tensors if key.startswith(prefix))
    for name in dict.fromkeys([*_STORED_GRADIENTS, *stored]):
        theirs = case.tensors[prefix + name]
        gradient = ours.get(name, torch.zeros_like(theirs))
        if name.endswith("_embedding") and name in ours:
            # The second row is a spread that the paper's code does not use.
            gradient = torch.stack([gradient, torch.zeros_like(gradient)])
        yield Pair(f"gradient, {kind}", gradient, theirs)


def _paper_name(name: str) -> str:
    """Our parameter's name in the paper's checkpoint."""
    name = name.removeprefix("backbone.").removeprefix("thought_parts.")
    if name.startswith("talk_head."):
        return name.replace("talk_head.", "talk_head.0.")
    for vector in ("start", "end"):
        name = name.replace(f"parametrizations.{vector}_thought.original", f"{vector}_embedding")
    return name


def relative_deviation(ours: Tensor, theirs: Tensor, scale: float = 0.0) -> float:
    """The largest deviation, relative to their largest magnitude or to `scale` if that is larger.

    Infinite if a number is not finite: comparisons with NaN are always false.
    """
    scale = max(float(theirs.abs().max()), scale, 1e-12)
    deviation = float((ours.detach() - theirs).abs().max()) / scale
    return deviation if math.isfinite(deviation) else math.inf


def compare_cases(cases: Sequence[TrainingCase]) -> dict[str, tuple[float, str]]:
    """The largest relative deviation of each quantity over all cases, and the case it was in.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        ConfigError: a quantity is missing or has another shape.
        RequestError: the input ids or their mask are invalid.
    """
    worst: dict[str, tuple[float, str]] = {}
    for case in cases:
        for pair in compare_case(case):
            deviation = _deviation(pair, case.name)
            if deviation > worst.get(pair.quantity, (-1.0, ""))[0]:
                worst[pair.quantity] = (deviation, case.name)
    return worst


def print_comparison(directory: Path) -> int:
    """Print the table of `python -m qstar_train.parity`; return its exit code."""
    try:
        cases = read_cases(directory)
        worst = compare_cases(cases)
    except QStarError as error:
        Console(stderr=True).print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 2
    table = Table("quantity", "largest relative deviation", "in case")
    for quantity, (deviation, name) in worst.items():
        table.add_row(quantity, f"{deviation:.1e}", name)
    console = Console()
    console.print(table)
    for note in (note for case in cases for note in case.notes()):
        console.print(Text(note))
    return int(not all(deviation <= TOLERANCE for deviation, _ in worst.values()))


def compare_golden(directory: Path) -> dict[str, tuple[float, str]]:
    """`compare_cases` of a directory.

    Raises:
        CheckpointError, ConfigError, RequestError: as `read_cases` and `compare_cases`.
    """
    return compare_cases(read_cases(directory))


def _deviation(pair: Pair, name: str) -> float:
    if pair.ours.shape != pair.theirs.shape:
        raise ConfigError(
            f"{name}: {pair.quantity} has shape {list(pair.theirs.shape)} in the vectors, "
            f"{list(pair.ours.shape)} here. n_ahead, n_ahead_talk and n_passes of train.json must "
            "be those that the vectors were made with."
        )
    ours, theirs = pair.ours, pair.theirs
    if pair.is_compared is not None:
        if not pair.is_compared.any():  # rows that end before the last talk token
            return 0.0
        ours, theirs = ours[pair.is_compared], theirs[pair.is_compared]
    return relative_deviation(ours, theirs, pair.scale)

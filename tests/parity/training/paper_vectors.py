"""Training vectors in the format of the golden ones, computed by the definition in their README.

One position at a time through a stock Mistral, nothing cached; shares no code with the package. The
weights are those of golden A, so thoughts matter.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM

GOLDEN = Path(__file__).parents[2] / "golden" / "A"
PAD_ID, START_ID, END_ID = 2, 500, 501
KEPT_GRADIENTS = ("start_embedding", "end_embedding", "talk_head.0.4.weight", "model.norm.weight")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parameters of one case and of its checkpoint's configuration."""

    n_ahead: int = 5
    n_ahead_talk: int = 2
    n_passes: int = 2
    rule: str = "rank"
    window: int = 4096

    @property
    def name(self) -> str:
        return f"talk{self.n_ahead_talk}_pass{self.n_passes}_{self.rule}"


class SlowModel:
    """The paper's model, a whole sequence at a time."""

    def __init__(self, recipe: Recipe, config: dict[str, Any]) -> None:
        tensors = load_file(GOLDEN / "checkpoint" / "model.safetensors")
        self.stock = MistralForCausalLM(MistralConfig(**config)).float().eval()
        extra = self.stock.load_state_dict(tensors, strict=False).unexpected_keys
        self.weights: dict[str, Tensor] = dict(self.stock.named_parameters())
        self.weights |= {name: tensors[name].requires_grad_() for name in extra}
        self.recipe = recipe

    def states(self, fed: Tensor, anchor: int, is_real: Tensor) -> Tensor:
        """After the last norm; what is fed behind the anchor is its thought's.

        Args:
            fed: `[rows, length, hidden]`, at position ids 0, 1, ...
            is_real: `[rows, seq]`, bool, of the base tokens.
        """
        query, key = torch.arange(fed.shape[1])[:, None], torch.arange(fed.shape[1])[None]
        is_near = (key > anchor) | (query.clamp(max=anchor) - key < self.recipe.window)
        is_shown = F.pad(is_real[:, : anchor + 1], (0, fed.shape[1] - anchor - 1), value=True)
        sees = ((key <= query) & is_near & is_shown[:, None]) | (key == query)
        mask = torch.zeros(sees.shape).masked_fill(~sees, float("-inf"))
        output = self.stock.model(inputs_embeds=fed, attention_mask=mask[:, None], use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        logits: Tensor = self.stock.lm_head(states)
        return logits

    def sampling_logits(self, states: Tensor) -> Tensor:
        return self.logits(states).index_fill(-1, torch.tensor([START_ID, END_ID]), -1e10)

    def mixing_weight(self, base: Tensor, thought: Tensor) -> Tensor:
        """`[..., hidden]` twice to `[..., 1]`."""
        states = torch.cat([base, thought], -1)
        for layer in ("0", "2"):
            name = f"talk_head.0.{layer}"
            parts = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
            states = F.linear(states, *parts).relu()
        return F.linear(states, self.weights["talk_head.0.4.weight"])

    def choose(self, logits: Tensor) -> Tensor:
        """The next thought token: `[rows, vocab]` to `[rows]`, by the rule."""
        passes = torch.arange(logits.shape[0]) % self.recipe.n_passes
        ranks = {"argmax": torch.zeros_like(passes), "rank": passes}
        # Any other rule is not stored.
        rank = ranks.get(self.recipe.rule, 7 * passes + 3)
        ranked = logits.argsort(-1, descending=True)
        return ranked.gather(-1, rank[:, None]).squeeze(-1)

    def think(self, ids: Tensor, is_real: Tensor, anchor: int) -> tuple[Tensor, Tensor]:
        """At one position the states of all iterations, `[rows, iterations, hidden]`, and the
        tokens that they gave, `[rows, iterations]`."""
        talk, table = self.recipe.n_ahead_talk, self.weights["model.embed_tokens.weight"]
        ahead = F.pad(ids, (0, talk), value=PAD_ID)[:, anchor + 1 : anchor + 1 + talk]
        start, end = (
            self.weights[f"{kind}_embedding"][0].expand(len(ids), 1, -1) * 100
            for kind in ("start", "end")
        )
        fed = torch.cat([table[ids[:, : anchor + 1]], start], 1)
        tokens = [torch.full_like(ids[:, 0], START_ID)]
        for _ in range(self.recipe.n_ahead - 3):
            last = self.states(fed, anchor, is_real)[:, -1]
            tokens.append(self.choose(self.sampling_logits(last)))
            fed = torch.cat([fed, table[tokens[-1]][:, None]], 1)
        fed = torch.cat([fed, end, table[ahead[:, :-1]]], 1)
        tokens += [torch.full_like(ids[:, 0], END_ID), *ahead.unbind(1)]
        return self.states(fed, anchor, is_real)[:, anchor:], torch.stack(tokens, 1)

    def predict(self, states: Tensor, iteration: int) -> tuple[Tensor, Tensor]:
        """Mixed logits `[rows, seq - m, vocab]` and weights `[rows, seq - m]`, m tokens forced.

        Args:
            states: `[rows, seq, iterations, hidden]`.
        """
        m = max(0, iteration - self.recipe.n_ahead + 1)
        base, thought = states[:, m:, 0], states[:, : states.shape[1] - m, iteration]
        weight = self.mixing_weight(base, thought) * (iteration > 0)
        return self.logits((1 - weight) * base + weight * thought), weight.squeeze(-1)


def run_case(model: SlowModel, ids: Tensor, mask: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of `train.json` and `train.safetensors` for one case."""
    recipe, seq = model.recipe, ids.shape[1]
    ids = ids.repeat_interleave(recipe.n_passes, 0)
    is_real = mask.bool().repeat_interleave(recipe.n_passes, 0)
    thoughts = [model.think(ids, is_real, anchor) for anchor in range(seq)]
    states, history = (torch.stack(parts, 1) for parts in zip(*thoughts, strict=True))
    predictions = [model.predict(states, i) for i in range(states.shape[2])]
    losses = [token_losses(logits, ids[:, -logits.shape[1] :]) for logits, _ in predictions]
    logliks = [
        (model.sampling_logits(states[:, :, k]) / 3)
        .log_softmax(-1)
        .gather(-1, history[:, :, k, None])[..., 0]
        for k in range(1, recipe.n_ahead - 2)
    ]
    rewards, policy = reinforce(recipe, losses, logliks)
    talk_losses = torch.stack([mean_nonzero(x) for x in losses[-recipe.n_ahead_talk :]])
    language = 0.5 * mean_nonzero(losses[0]) + 0.5 * talk_losses.mean()
    total = language + 1e6 * policy.mean()
    padded = [F.pad(weight, (0, seq - weight.shape[1])) for _, weight in predictions[1:]]
    tensors = {
        **{f"loss_list.{i:02d}": loss for i, loss in enumerate(losses)},
        **{f"action_loglikelihoods.{k:02d}": x[:, :-1] for k, x in enumerate(logliks)},
        "policy_reward": rewards,
        "token_history": history,
        "mixing_weights": torch.stack(padded, -1),
        "logits_last": F.pad(predictions[-1][0], (0, 0, 0, recipe.n_ahead_talk - 1)),
    }
    values: dict[str, Any] = {
        "n_ahead_talk": recipe.n_ahead_talk,
        "n_passes": recipe.n_passes,
        "thought_rule": recipe.rule,
        "fresh_first_step": False,
        "policy_loss_beta": 1e6,
        "loss_mean_per_index": [six_digits(mean_nonzero(x)) for x in losses],
        "policy_reward_mean": six_digits(rewards.mean()),
        "dqn_loss_list": [six_digits(x) for x in policy],
        "dqn_loss": six_digits(policy.mean()),
        "loss_ce_only": six_digits(language),
        "loss_total": six_digits(total),
    }
    for kind, loss in (("ce_only", language), ("total", total)):
        found = torch.autograd.grad(loss, list(model.weights.values()), retain_graph=True)
        gradients = dict(zip(model.weights, found, strict=True))
        values[f"grad_norms_{kind}"] = {name: six_digits(x.norm()) for name, x in gradients.items()}
        tensors |= {f"grad_{kind}.{name}": gradients[name] for name in KEPT_GRADIENTS}
    return values, tensors


def token_losses(logits: Tensor, ids: Tensor) -> Tensor:
    """The loss of the token after each position, 0 if it is the pad id: `[rows, seq - 1]`."""
    return F.cross_entropy(
        logits[:, :-1].transpose(1, 2), ids[:, 1:], ignore_index=PAD_ID, reduction="none"
    )


def mean_nonzero(losses: Tensor) -> Tensor:
    return losses.sum() / (losses != 0).sum()


def reinforce(recipe: Recipe, losses: list[Tensor], logliks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The rewards, `[rows, seq - 1 - n_ahead_talk]`, and the loss of each sampled token."""
    talk = recipe.n_ahead_talk
    count = losses[0].shape[1] - talk
    gains = [losses[0][:, s : s + count] - losses[s - talk][:, :count] for s in range(talk)]
    rewards = torch.stack(gains).sum(0).detach()
    better = rewards.view(-1, recipe.n_passes, count)
    if recipe.n_passes > 1:
        better = better - better.mean(1, keepdim=True)
    better = better.clamp(min=0).view_as(rewards)
    return rewards, torch.stack([-(better * x[:, :count]).mean() for x in logliks])


def six_digits(number: Tensor) -> float:
    return float(f"{number.item():.6g}")


def padded_rows(lengths: Sequence[int], *, seed: int) -> tuple[Tensor, Tensor]:
    """Random ids and their mask, `[rows, longest]` each, int64."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(3, 500, mask.shape, generator=generator)
    return torch.where(mask.bool(), ids, PAD_ID), mask


def write_vectors(directory: Path, recipe: Recipe, ids: Tensor, mask: Tensor) -> None:
    """Write a checkpoint and one case; ids and mask are `[examples, seq]`, int64."""
    shutil.copytree(GOLDEN / "checkpoint", directory / "checkpoint")
    path = directory / "checkpoint" / "config.json"
    config = json.loads(path.read_text())
    config["sliding_window"] = recipe.window
    config["max_thoughts"] = recipe.n_ahead + recipe.n_ahead_talk + 1
    path.write_text(json.dumps(config))
    values, tensors = run_case(SlowModel(recipe, config), ids, mask)
    content = json.loads((GOLDEN / "train.json").read_text())
    content |= {"n_ahead": recipe.n_ahead, "ids": ids.tolist(), "cases": {recipe.name: values}}
    (directory / "train.json").write_text(json.dumps(content))
    stored = {
        f"{recipe.name}.{name}": x.detach().float() if x.is_floating_point() else x
        for name, x in tensors.items()
    }
    stored |= {"input_ids": ids, "attention_mask": mask}
    save_file({k: v.contiguous() for k, v in stored.items()}, directory / "train.safetensors")

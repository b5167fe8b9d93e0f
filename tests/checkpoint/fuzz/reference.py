"""What a checkpoint computes, by the reference implementations: transformers and PEFT.

Thoughts are computed here from the description of the format, without code of the package.
"""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

IDS = torch.tensor([[1] + [(37 * i) % 490 + 5 for i in range(23)]])
"""Longer than the sliding windows of the seeds."""

KNOWN_LENGTHS = {25: 13, 17: 9, 13: 5, 11: 5}
"""`max_thoughts` of the published training scripts, and the thought tokens of each."""
PLAIN_MAX_THOUGHTS = 3
"""The stage that predicts the next token without a thought."""

transformers_logging.set_verbosity_error()
logging.getLogger("peft").setLevel(logging.ERROR)


class Unreadable(Exception):
    """The reference cannot read this checkpoint, or reads it with random weights."""


def reference_logits(directory: Path) -> Tensor:
    """Next-token logits `[seq, vocab]` for `IDS`, mixed if the checkpoint thinks.

    Raises:
        Unreadable: the checkpoint does not determine them.
    """
    try:
        first, second = (_logits(directory, seed) for seed in (11, 12))
    except Unreadable:
        raise
    except Exception as error:  # any complaint of the reference counts
        raise Unreadable(str(error)) from error
    if not torch.equal(first, second):
        raise Unreadable("two loads differ: some weights are random")
    if not bool(torch.isfinite(first[:, :500]).all()):
        raise Unreadable("the logits are not finite")
    return first


@torch.no_grad()
def _logits(directory: Path, seed: int) -> Tensor:
    torch.manual_seed(seed)
    if (directory / "adapter_config.json").exists():
        content = json.loads((directory / "adapter_config.json").read_text())
        base = _read(directory / content["base_model_name_or_path"])
        adapted = PeftModel.from_pretrained(base, str(directory)).eval()
        logits: Tensor = adapted(IDS).logits[0]
        return logits
    model = _read(directory)
    plain: Tensor = model(IDS).logits[0]
    if (directory / "quiet_star.json").exists():
        content = json.loads((directory / "quiet_star.json").read_text())
        parts = load_file(directory / "quiet_star.safetensors")
        mixed = _mixed(model, plain, content["num_thought_tokens"], parts, delimiters=[])
        is_thinking = _is_thinking(model, content.get("thinking"), parts, directory)
        return torch.where(is_thinking[:, None], mixed, plain)
    config = json.loads((directory / "config.json").read_text())
    if "max_thoughts" in config and config["max_thoughts"] != PLAIN_MAX_THOUGHTS:
        tensors = load_file(directory / "model.safetensors")
        parts = {
            name.replace("talk_head.0.", "talk_head."): tensor
            for name, tensor in tensors.items()
            if name.startswith("talk_head.")
        }
        parts |= {f"{n}_thought": tensors[f"{n}_embedding"][0] * 100 for n in ("start", "end")}
        length = {25: 13, 17: 9, 13: 5, 11: 5}.get(
            config["max_thoughts"], config["max_thoughts"] - 8
        )
        return _mixed(model, plain, length, parts, delimiters=[500, 501])
    return plain


def _read(directory: Path) -> PreTrainedModel:
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True, attn_implementation="eager"
    )
    model, report = loaded
    if report["missing_keys"] or report.get("mismatched_keys"):
        raise Unreadable(f"missing or misshapen: {report}")
    read: PreTrainedModel = model.eval()
    return read


def _mixed(
    model: PreTrainedModel,
    plain: Tensor,
    length: int,
    parts: dict[str, Tensor],
    *,
    delimiters: list[int],
) -> Tensor:
    """One greedy thought after each prefix; `(1 - w) base + w thought`."""
    parts = {name: tensor.float() for name, tensor in parts.items()}
    embed = model.get_input_embeddings()
    rows = []
    for end in range(1, IDS.shape[1] + 1):
        fed = torch.cat([embed(IDS[0, :end]), parts["start_thought"][None]])
        for _ in range(length):
            logits = _last(model, fed, end)[1]
            logits[delimiters] = float("-inf")
            fed = torch.cat([fed, embed(logits.argmax()[None])])
        before, _ = _last(model, embed(IDS[0, :end]), end)
        after, thought = _last(model, torch.cat([fed, parts["end_thought"][None]]), end)
        state = torch.cat([before, after])
        for layer in ("0", "2"):
            weight, bias = (parts[f"talk_head.{layer}.{part}"] for part in ("weight", "bias"))
            state = torch.relu(weight @ state + bias)
        share = parts["talk_head.4.weight"] @ state
        mixed = (1 - share) * plain[end - 1] + share * thought
        mixed[delimiters] = float("-inf")
        rows.append(mixed)
    return torch.stack(rows)


def _is_thinking(
    model: PreTrainedModel, rule: Any, parts: dict[str, Tensor], directory: Path
) -> Tensor:
    """Whether the rule lets the model think at each of `IDS`: `[seq]`, bool."""
    if rule is None or rule == {"where": "everywhere"}:
        return torch.ones(IDS.shape[1], dtype=torch.bool)
    if rule == {"where": "gate"}:
        states: Tensor = model(IDS, output_hidden_states=True).hidden_states[-1][0]
        scores = states @ parts["gate.weight"].float().T + parts["gate.bias"].float()
        return scores[:, 0] > 0
    if set(rule) != {"where", "tokens"} or rule["where"] != "behind":
        raise Unreadable(f"no rule: {rule}")
    text = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    ids = text["model"]["vocab"] | {each["content"]: each["id"] for each in text["added_tokens"]}
    behind = [ids[token] if isinstance(token, str) else token for token in rule["tokens"]]
    return torch.tensor([token_id in behind for token_id in IDS[0].tolist()])


def _last(model: PreTrainedModel, fed: Tensor, text_length: int) -> tuple[Tensor, Tensor]:
    """Last state and logits. A thought is no further from the text than its anchor is: a sliding
    window is counted back from there, and does not count the thought itself."""
    query, key = torch.arange(len(fed))[:, None], torch.arange(len(fed))[None]
    sees = key <= query
    window = getattr(model.config, "sliding_window", None)
    if window is not None:
        sees &= (key >= text_length) | (query.clamp(max=text_length - 1) - key < window)
    mask = torch.zeros(sees.shape).masked_fill(~sees, float("-inf"))
    output = model(
        inputs_embeds=fed[None], attention_mask=mask[None, None], output_hidden_states=True
    )
    return output.hidden_states[-1][0, -1], output.logits[0, -1].clone()

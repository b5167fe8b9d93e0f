"""Read and check a directory of training vectors of the paper's own code.

It has a `checkpoint/`, `train.json` and `train.safetensors`, described in `tests/golden/README.md`.

Legend: rows are examples times passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from qstar_infer.checkpoint.reading import read_json
from qstar_infer.checkpoint.tensors import read_tensors
from qstar_infer.errors import ConfigError
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.losses import advantages
from qstar_train.sampling import Pick

ROUNDING = 1e-5
"""Relative differences below this are rounding errors in float32."""
_RULES = {"argmax": False, "rank": True}
_NAMES = {
    "policy_loss_beta": "policy_weight",
    "reinforce_temperature": "reinforce_temperature",
    "remove_negative_rewards": "drops_negative_rewards",
}
"""Constants of the paper's code and their names here."""
_UNCHANGEABLE = {"embedding_scale": 100, "trice_mode": True, "first_and_last_mode": True}
_SMALLEST_N_AHEAD = 4
"""The base call, start, one sampled token, end."""


class Stored(dict[str, Any]):
    """Stored values; a missing one raises, so that no quantity is left uncompared."""

    def __init__(self, place: str, content: Any) -> None:
        """
        Args:
            place: prefix of a key in errors.

        Raises:
            ConfigError: the content is not a mapping.
        """
        if not isinstance(content, Mapping):
            raise ConfigError(
                f"train.json has {place.removesuffix('.')} = {content!r}, which is no object. Give "
                "a whole directory of training vectors."
            )
        super().__init__(content)
        self._place = place

    def __missing__(self, key: str) -> Any:
        raise ConfigError(
            f"The training vectors lack {self._place}{key}. Give a whole directory of them."
        )

    def numbers(self, key: str) -> Tensor:
        """A number, `[]`, or a list of them, `[count]`, float32.

        Raises:
            ConfigError: it is missing, or something else.
        """
        try:
            return torch.tensor(self[key], dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"train.json has {self._place}{key} = {self[key]!r}, which is no number or list of "
                "numbers. Give what the paper's code gave."
            ) from error

    def number(self, key: str) -> float:
        """A single number.

        Raises:
            ConfigError: it is missing, or something else.
        """
        numbers = self.numbers(key)
        if numbers.dim() > 0:
            raise ConfigError(
                f"train.json has {self._place}{key} = {self[key]!r}, which is no number. Give what "
                "the paper's code gave."
            )
        return float(numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCase:
    """One call of the paper's training code, and everything that was stored."""

    checkpoint: Path
    name: str
    values: Stored
    """From `train.json`."""
    tensors: Stored
    """From `train.safetensors`, without the case's name."""
    input_ids: Tensor
    """`[examples, seq]`, int64."""
    attention_mask: Tensor
    """`[examples, seq]`, 0 at padding."""
    n_ahead: int
    """The paper's: the base call, start, the sampled tokens, end."""
    config: ObjectiveConfig

    @property
    def num_thought_tokens(self) -> int:
        return self.n_ahead - 3

    @property
    def by_rank(self) -> bool | None:
        """Whether pass p took the (p + 1)-th likeliest token; false: every pass took the likeliest;
        None: the rule is unknown."""
        rule = self.values["thought_rule"]
        return _RULES.get(rule) if isinstance(rule, str) else None

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """The ids, and which are real (bool): `[rows, seq]` each, an example's passes adjacent."""
        passes = self.config.num_passes
        return (
            self.input_ids.repeat_interleave(passes, dim=0),
            self.attention_mask.bool().repeat_interleave(passes, dim=0),
        )

    @property
    def loss_scale(self) -> float:
        """The largest loss of a token; rewards have its rounding error."""
        return float(self.tensors["loss_list.00"].abs().max())

    @property
    def rewards_are_rounding(self) -> bool:
        return self._is_rounding(self.tensors["policy_reward"])

    @property
    def advantages_are_rounding(self) -> bool:
        """Whether passes differ only by rounding (or, with one pass, rewards from 0).

        The weight of the policy loss, 1e6, turns that rounding into a part of the total that no
        other implementation can reproduce.
        """
        return self._is_rounding(self._advantages())

    @property
    def has_total_gradients(self) -> bool:
        """Whether the gradients of the total can be compared despite such rounding."""
        share = self.config.policy_weight * self.values.number("dqn_loss")
        language = self.values.number("loss_ce_only")
        return not self.advantages_are_rounding or abs(share) <= 1e-7 * language

    def _advantages(self) -> Tensor:
        return advantages(
            self.tensors["policy_reward"],
            num_passes=self.config.num_passes,
            drops_negative=self.config.drops_negative_rewards,
        )

    def _is_rounding(self, rewards: Tensor) -> bool:
        return bool((rewards.abs() <= ROUNDING * self.loss_scale).all())

    def notes(self) -> list[str]:
        """A sentence for each part of the case that is compared in a special way."""
        notes = []
        if self.by_rank is None:
            rule = self.values["thought_rule"]
            notes.append(
                f"{self.name}: the rule {rule!r} is unknown; its thought tokens were taken as they "
                "are, without a look at how they were chosen."
            )
        if self.advantages_are_rounding:
            left_out = "" if self.has_total_gradients else "; the total's gradients are left out"
            notes.append(
                f"{self.name}: its advantages are 0 but for rounding (at most "
                f"{float(self._advantages().abs().max()):.1e}, of losses up to "
                f"{self.loss_scale:.1e}). The policy loss is compared on the scale of losses times "
                f"log-likelihoods, the total loss without it{left_out}."
            )
        return notes


class Replay:
    """A `Pick` of the stored thought tokens; records where the case's rule picks another one.

    Everything else is then compared on the same thoughts.
    """

    def __init__(self, case: TrainingCase, rule: Pick | None) -> None:
        self.history: Tensor = case.tensors["token_history"].long()
        """`[rows, seq, n_ahead + num_talk_tokens - 1]`: tokens from each iteration to the next."""
        self.differs = torch.zeros(*self.history.shape[:2], case.num_thought_tokens).bool()
        """`[rows, seq, num_thought_tokens]`; all false if the rule is unknown."""
        self._name = case.name
        self._rule = rule

    def check_ids_below(self, vocab_size: int) -> None:
        """
        Raises:
            ConfigError: the history holds an unknown id.
        """
        for found in (int(self.history.min()), int(self.history.max())):
            if not 0 <= found < vocab_size:
                raise ConfigError(
                    f"{self._name}: token_history holds the id {found}; the checkpoint has ids 0 "
                    f"to {vocab_size - 1}. Give vectors with the checkpoint they were made with."
                )

    def __call__(self, logits: Tensor, stream_index: int, anchors: Tensor) -> Tensor:
        """See `Pick`."""
        stored: Tensor = self.history[:, :, stream_index].gather(1, anchors)
        if self._rule is not None:
            chosen = self._rule(logits, stream_index, anchors)
            of_stored, of_chosen = (
                logits.gather(-1, ids.unsqueeze(-1)).squeeze(-1) for ids in (stored, chosen)
            )
            # Logits that differ only by rounding are a tie; either token is right.
            differs = (of_chosen - of_stored).abs() > ROUNDING * of_chosen.abs()
            self.differs[:, :, stream_index - 1].scatter_(1, anchors, differs)
        return stored


def read_cases(directory: Path) -> list[TrainingCase]:
    """Every case of a directory, checked as far as possible without the model.

    Raises:
        CheckpointError: a file is missing or damaged.
        ConfigError: there are no cases, or one lacks something, contradicts its tensors or is not
            supported.
    """
    path = directory / "train.json"
    content = read_json(path)
    cases = content.get("cases")
    if not isinstance(cases, dict) or not cases:
        raise ConfigError(f"{path} holds no cases. Give a directory of training vectors.")
    tensors = read_tensors(directory / "train.safetensors")
    return [_read_case(directory, content, tensors, name) for name in cases]


def _read_case(
    directory: Path, content: dict[str, Any], tensors: dict[str, Tensor], name: str
) -> TrainingCase:
    prefix, everywhere = f"{name}.", Stored("", tensors)
    values = Stored(prefix, content["cases"][name])
    own = Stored(
        prefix,
        {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)},
    )
    constants = Stored("constants.", content.get("constants", {}))
    config = _config(name, values, constants)
    case = TrainingCase(
        checkpoint=directory / "checkpoint",
        name=name,
        values=values,
        tensors=own,
        input_ids=everywhere["input_ids"].long(),
        attention_mask=everywhere["attention_mask"],
        n_ahead=_n_ahead(content, name, own["token_history"], config),
        config=config,
    )
    _check_fit(case)
    return case


def _config(name: str, values: Stored, constants: Stored) -> ObjectiveConfig:
    """The objective's config from the constants and the case; defaults for what they lack.

    Raises:
        ConfigError: a number is invalid, or describes an objective that is not supported.
    """
    for key, supported in _UNCHANGEABLE.items():
        if constants.get(key, supported) != supported:
            raise ConfigError(
                f"train.json has the constant {key} = {constants[key]!r}; only {supported} can be "
                "compared. Give training vectors made with it."
            )
    known = {ours: constants[key] for key, ours in _NAMES.items() if key in constants}
    if "policy_loss_beta" in values:
        known["policy_weight"] = values["policy_loss_beta"]
    scale = constants.number("base_loss_beta") if "base_loss_beta" in constants else 1.0
    # In the paper's code the weights of base and talk tokens are shares of one.
    key = "original_loss_weight"
    share = constants.number(key) if key in constants else 0.5
    known |= {"base_loss_weight": scale * share, "talk_loss_weight": scale * (1 - share)}
    known |= {"num_talk_tokens": values["n_ahead_talk"], "num_passes": values["n_passes"]}
    try:
        return ObjectiveConfig(**known)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))} = {problem['input']!r}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ConfigError(
            f"train.json, case {name}: {problems}. Give what the paper's code ran with."
        ) from error


def _n_ahead(content: dict[str, Any], name: str, history: Tensor, config: ObjectiveConfig) -> int:
    """From `train.json`, or from the width of the token history.

    The checkpoint does not store it: its `max_thoughts` includes talk tokens, not always 4.
    """
    n_ahead = content.get("n_ahead", history.shape[-1] - config.num_talk_tokens + 1)
    if type(n_ahead) is not int or n_ahead < _SMALLEST_N_AHEAD:
        raise ConfigError(
            f"Case {name} has n_ahead = {n_ahead!r}, which is not supported: models here sample at "
            f"least one thought token between start and end, an integer n_ahead of at least "
            f"{_SMALLEST_N_AHEAD}. Give training vectors that do."
        )
    return n_ahead


def _check_fit(case: TrainingCase) -> None:
    """Check that thought length, talk length and passes match the tensors."""
    if case.input_ids.dim() != 2:
        raise ConfigError(
            f"input_ids has shape {list(case.input_ids.shape)}; rows of tokens, [examples, seq], "
            "are needed."
        )
    examples, seq = case.input_ids.shape
    talk, passes = case.config.num_talk_tokens, case.config.num_passes
    if seq < talk + 2:
        raise ConfigError(
            f"Case {case.name}: rows of {seq} tokens are too short for n_ahead_talk = {talk}, of "
            f"which no reward follows. At least {talk + 2} are needed."
        )
    shape = [examples * passes, seq, case.n_ahead + talk - 1]
    found = list(case.tensors["token_history"].shape)
    if found != shape:
        raise ConfigError(
            f"Case {case.name}: token_history has shape {found}; n_ahead = {case.n_ahead}, "
            f"n_ahead_talk = {talk} and n_passes = {passes} in train.json mean {shape}. Correct "
            "them to those that the vectors were made with."
        )

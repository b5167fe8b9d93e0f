"""All settings of an engine in one object: which model to load, and the engine's limits.

`LLM(...)`, the command line and the environment all create an `EngineArgs`. Plain data, no torch.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_type_hints

from qstar_infer.config import EngineConfig, parse_speculation, setting
from qstar_infer.errors import ConfigError

ENVIRONMENT_PREFIX = "QSTAR_"
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
SETTINGS_OF_LOADING = (
    *("runner", "dtype", "device", "tensor_parallel_size", "quantization", "revision"),
    *("num_thought_tokens", "thought_vectors", "tokenizer", "ignore_thought_parts"),
)
"""Settings that say how a model is loaded. They cannot apply to one that is loaded already."""
ThoughtVectors = Literal["kept", "literal"]
"""Which vectors delimit the thoughts of a published checkpoint: the trained ones ("kept"), or those
that its evaluation script really uses ("literal")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineArgs:
    """Which model to load, how to load it, and the limits of its engine.

    Raises:
        ConfigError: a value is out of range.
    """

    model: str | None = setting(
        None, "lab, a checkpoint directory, .gguf file or hub id; default: the default model."
    )
    runner: Literal["torch", "llama.cpp"] = setting(
        "torch", "torch or llama.cpp: what computes the model. llama.cpp runs on CPUs only."
    )
    dtype: str = setting("auto", "auto, stored, float32, bfloat16 or float16.")
    device: str = setting("auto", "auto, cpu, cuda or cuda:N.")
    tensor_parallel_size: int = setting(
        1, "GPUs of this machine that share the model, each with a process of its own."
    )
    threads: int | None = setting(
        None,
        "Threads of a step on a CPU; default: as many as the CPUs that a server may use. Fewer are "
        "faster on a machine that is busy with other work.",
    )
    quantization: str = setting(
        "none",
        "none; int8 or nf4 (bitsandbytes); int8-cpu or int4-cpu; with the runner llama.cpp none, "
        "q8_0, q4_0 or q4_1.",
    )
    revision: str | None = setting(None, "Branch, tag or commit of a hub repository.")
    num_thought_tokens: int | None = setting(
        None, "Tokens per thought; default: as stored in the checkpoint."
    )
    thought_vectors: ThoughtVectors = setting(
        "kept", "kept or literal: which vectors of a published checkpoint delimit thoughts."
    )
    tokenizer: str | None = setting(
        None, "Directory or hub id of a tokenizer; default: the checkpoint's own."
    )
    ignore_thought_parts: bool = setting(
        False, "Load only the language model of a checkpoint that thinks."
    )
    generation_config: Literal["auto", "none"] = setting(
        "auto", "auto: use the checkpoint's sampling defaults; none: ignore them."
    )
    served_model_name: str | None = setting(
        None, "The model's name in requests; default: the checkpoint's name."
    )
    engine: EngineConfig = EngineConfig()
    """Limits of the engine. `of` takes each of its fields as a separate setting."""

    def __post_init__(self) -> None:
        _check_one_of("runner", self.runner, ("torch", "llama.cpp"))
        _check_one_of("thought_vectors", self.thought_vectors, ("kept", "literal"))
        _check_one_of("generation_config", self.generation_config, ("auto", "none"))
        if self.threads is not None:
            _check_count("threads", self.threads)
        _check_count("tensor_parallel_size", self.tensor_parallel_size)
        _check_name("served_model_name", self.served_model_name)
        self._check_thought_length()
        if not isinstance(self.ignore_thought_parts, bool):
            raise ConfigError(
                f"ignore_thought_parts must be true or false, got {self.ignore_thought_parts!r}"
            )

    def _check_thought_length(self) -> None:
        length, most = self.num_thought_tokens, self.engine.max_thought_tokens
        if isinstance(length, int) and length > most:
            raise ConfigError(
                f"num_thought_tokens is {length}, but max_thought_tokens is {most}; lower one or "
                "raise the other"
            )

    @classmethod
    def of(cls, **settings: Any) -> "EngineArgs":
        """Create from settings by name, including the fields of `EngineConfig`.

        Raises:
            ConfigError: a name is unknown, or a value is out of range.
        """
        known = setting_types()
        for name in settings:
            if name not in known:
                raise ConfigError(f"unknown setting {name!r}; the settings are {', '.join(known)}")
        own = {name: value for name, value in settings.items() if name in _OWN}
        limits = {name: value for name, value in settings.items() if name not in _OWN}
        return cls(**own, engine=EngineConfig(**limits))

    def settings(self) -> dict[str, Any]:
        """All settings by name, as `of` takes them."""
        own = {name: getattr(self, name) for name in _OWN}
        return own | {item.name: getattr(self.engine, item.name) for item in fields(EngineConfig)}

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        file_settings: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> "EngineArgs":
        """Create from environment variables such as QSTAR_MAX_NUM_SEQS.

        Args:
            environ: the variables; None: those of this process.
            file_settings: settings by name; the environment wins over them.
            **given: settings by name; they win over the environment.

        Raises:
            ConfigError: a value cannot be parsed or is out of range.
        """
        variables = os.environ if environ is None else environ
        settings: dict[str, Any] = {} if file_settings is None else dict(file_settings)
        for name, kind in setting_types().items():
            text = variables.get(ENVIRONMENT_PREFIX + name.upper())
            if text:
                settings[name] = _parse(name, text, kind)
        return cls.of(**settings | given)


def setting_types() -> dict[str, Any]:
    """Name and type of each setting: those of `EngineArgs`, then those of `EngineConfig`."""
    own = get_type_hints(EngineArgs)
    limits = get_type_hints(EngineConfig)
    return {name: own[name] for name in _OWN} | {
        item.name: limits[item.name] for item in fields(EngineConfig)
    }


def setting_help(name: str) -> str:
    """One line of help for the command line."""
    both = (*fields(EngineArgs), *fields(EngineConfig))
    return next(str(item.metadata["help"]) for item in both if item.name == name)


def _parse(name: str, text: str, kind: Any) -> Any:
    if name == "speculation":
        return parse_speculation(text)
    variable = ENVIRONMENT_PREFIX + name.upper()
    if kind is bool:
        if text.lower() not in _FLAGS:
            raise ConfigError(f"{variable} must be one of {', '.join(_FLAGS)}, got {text!r}")
        return _FLAGS[text.lower()]
    if kind not in (int, int | None):
        return text
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{variable} must be an integer, got {text!r}") from None


def _check_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be an integer of at least 1, got {value!r}")


def _check_name(name: str, value: object) -> None:
    """Check that requests can name a model so, and that the name breaks no line of a log."""
    if value is None:
        return
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigError(f"{name} must be a text that can be printed, got {value!r}")


_OWN = tuple(item.name for item in fields(EngineArgs) if item.name != "engine")

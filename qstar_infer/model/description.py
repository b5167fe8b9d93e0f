"""One-sentence description of a model, for start-up lines and model cards."""

from torch import nn

from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.served_model import ServedModel
from qstar_infer.model.thought_parts import TalkHead, ThoughtParts


def describe(model: ServedModel) -> str:
    """One sentence: name, size, dtype, thought length, and whether the thoughts are trained."""
    head = f"{model.name} ({model.size_and_precision})"
    if model.thought_parts is None or model.config is None:
        return f"{head}, a plain language model without thought parts; it cannot think"
    length = model.config.num_thought_tokens
    tokens = "token" if length == 1 else "tokens"
    thinking = f"{head}, thinks {length} {tokens} {model.config.thinking.describe()}"
    return f"{thinking}; {_training(model.thought_parts, model.config)}"


def changes_nothing(talk_head: TalkHead) -> bool:
    """Whether the mixing weight is 0 everywhere, as that of a fresh talk head.

    Read from the weights: a checkpoint may have been saved without notes about its training.
    """
    last = talk_head[-1]  # a sigmoid would make a half of 0
    return isinstance(last, nn.Linear) and not any(bool(each.any()) for each in last.parameters())


def _training(parts: ThoughtParts, config: QuietStarConfig) -> str:
    if changes_nothing(parts.talk_head):
        if config.training is None:
            return "thought parts freshly initialised, so thoughts do not change the text yet"
        return "its talk head is zero even after training, so thoughts do not change the text"
    return "thought parts trained" + ("" if config.training else ", it is not noted how")

"""A real engine over the toy model of `tests/parity/toy.py`."""

from pathlib import Path

from qstar_infer.checkpoint.save import save_model
from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs
from tests.device import DEVICE
from tests.parity.toy import make_toy
from tests.server.fake_engine import MODEL

CHAT_TEMPLATE = (
    "{% for each in messages %}{{ each.role[0] + ':' + each.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
"""Short, because the toy has 256 positions."""


CALLING_TEMPLATE = '{% if tools %}<tool_call>"arguments"{% endif %}' + CHAT_TEMPLATE
"""Shows the format of Hermes, and not the tools themselves."""


def save_toy(directory: Path, *, template: str = CHAT_TEMPLATE) -> Path:
    """Save the toy model to a new directory, with a chat template."""
    model = make_toy().model
    model.tokenizer.chat_template = template
    save_model(model, directory)
    return directory


def create_real_engine(directory: Path, *, template: str = CHAT_TEMPLATE) -> Engine:
    """Save the toy model to a new directory and start its engine, under the fake engine's name."""
    return create_async_engine(
        EngineArgs.of(
            model=str(save_toy(directory, template=template)),
            dtype="float32",
            device=DEVICE,
            served_model_name=MODEL,
            num_blocks=512,
        )
    )

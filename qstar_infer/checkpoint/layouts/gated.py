"""Refuses checkpoints whose thoughts are mixed by a gate, which our model cannot compute.

`Phonsiriwillbejommarn/Qwen2.5-3b-Quiet-StaR` has the keys of the paper's code and a gate for each
channel of the hidden states; its `-EDIT` adds a gate that decides how long to think.
"""

from qstar_infer.checkpoint.layouts import reference
from qstar_infer.checkpoint.layouts.files import CheckpointFiles
from qstar_infer.checkpoint.layouts.layout import OwnNames, ThoughtLayout
from qstar_infer.errors import CheckpointError

_CHANNEL_GATE = "talk_head.0.weight"
_LENGTH_GATE = "thinking_gate."
_SWITCHES = {"use_thinking_gate": False, "use_chunk_thinking": False, "thought_chunk_size": 1}
"""Key -> the value that means that the code does not use it. One of them is a sign."""
_SETTINGS = frozenset(
    {
        "thinking_gate_hidden_dim",
        "thinking_gate_sparsity_beta",
        "thinking_gate_threshold",
        "thinking_gate_bias_init",
        "chunk_size",
        "chunk_overlap",
    }
)
"""Keys without effect while the switches are off. Other architectures have some of them too."""
_ADVICE = (
    "Load it as the plain language model in it, with ignore_thought_parts=True in Python or "
    "--ignore-thought-parts on the command line."
)


def own_names(files: CheckpointFiles) -> OwnNames | None:
    """As in `Layout`."""
    has_gate = any(name == _CHANNEL_GATE or name.startswith(_LENGTH_GATE) for name in files.tensors)
    if not has_gate and files.config.keys().isdisjoint(_SWITCHES):
        return None
    tensors = frozenset(
        name
        for name in files.tensors
        if reference.is_thought_tensor(name) or name.startswith(_LENGTH_GATE)
    )
    return OwnNames(keys=reference.KEYS | _SETTINGS | _SWITCHES.keys(), tensors=tensors)


def describe(files: CheckpointFiles, own: OwnNames) -> ThoughtLayout:
    """As in `Layout`. A checkpoint whose gates are all switched off is one of the paper's code."""
    gates = _gates(files, own)
    if gates:
        raise CheckpointError(
            f"{files.directory} mixes its thoughts by gates that cannot be computed here: "
            f"{'; '.join(gates)}. {_ADVICE}"
        )
    for key, off in _SWITCHES.items():
        value = files.config.get(key, off)
        if value != off or type(value) is not type(off):
            raise CheckpointError(
                f"{files.config_path} has {key} = {value!r}; only {off!r} is supported, because "
                f"thoughts by gates or for chunks of tokens cannot be computed here. {_ADVICE}"
            )
    return reference.describe(files, own)


def _gates(files: CheckpointFiles, own: OwnNames) -> list[str]:
    """What the gates of a checkpoint are, as clauses."""
    gates: list[str] = []
    if _CHANNEL_GATE in own.tensors:
        shape = list(files.tensors[_CHANNEL_GATE].shape)
        gates.append(
            f"{_CHANNEL_GATE} of shape {shape} is no talk head with one mixing weight, but a gate "
            "for each channel of the hidden states, sigmoid(W [base ; thought]), and the thoughts "
            "of this code do not see the text (as in Qwen2.5-3b-Quiet-StaR)"
        )
    tensors = sorted(name for name in own.tensors if name.startswith(_LENGTH_GATE))
    if tensors:
        gates.append(
            f"{', '.join(tensors)} are a thinking gate, which scales each thought and decides how "
            "long to think (as in Qwen2.5-3B-Quiet-STaR-EDIT)"
        )
    return gates

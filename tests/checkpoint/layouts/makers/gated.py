"""Checkpoints of Phonsiriwillbejommarn/Qwen2.5-3b-Quiet-StaR and of its -EDIT."""

from pathlib import Path

from .common import HIDDEN, Made, make_backbone, make_tokenizer, random_tensors, write
from .reference import KEYS

EDIT_KEYS = {
    "use_thinking_gate": True,
    "thinking_gate_hidden_dim": 128,
    "thinking_gate_sparsity_beta": 0.01,
    "thinking_gate_threshold": 0.5,
    "thinking_gate_bias_init": -2.0,
    "use_chunk_thinking": False,
    "chunk_size": 8,
    "chunk_overlap": 0,
    "thought_chunk_size": 1,
}


def make_gated(directory: Path, *, is_edit: bool = False) -> Made:
    shapes: dict[str, tuple[int, ...]] = {
        "talk_head.0.weight": (HIDDEN, 2 * HIDDEN),
        "start_embedding": (2, HIDDEN),
        "end_embedding": (2, HIDDEN),
    }
    if is_edit:
        shapes |= {
            "thinking_gate.fc1.weight": (128, HIDDEN),
            "thinking_gate.fc1.bias": (128,),
            "thinking_gate.fc2.weight": (1, 128),
            "thinking_gate.fc2.bias": (1,),
        }
    return write(
        directory,
        make_backbone("qwen2"),
        random_tensors(shapes),
        keys=KEYS | {"max_thoughts": 13} | (EDIT_KEYS if is_edit else {}),
        architecture="QuietStarQwen2ForCausalLM",
        tokenizer=make_tokenizer(with_delimiters=True),
    )

"""Loads and saves checkpoints. Reads safetensors and GGUF; never a pickle, never their code."""

from qstar_infer.checkpoint.fresh import init_model
from qstar_infer.checkpoint.load import load_from_args, load_model
from qstar_infer.checkpoint.save import save_model
from qstar_infer.checkpoint.scratch.init_scratch import init_scratch
from qstar_infer.model.description import describe

__all__ = ["describe", "init_model", "init_scratch", "load_from_args", "load_model", "save_model"]

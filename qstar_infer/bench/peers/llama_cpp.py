"""llama.cpp's own greedy loop, through llama-cpp-python, which is optional."""

import ctypes
import importlib.util
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from qstar_infer.bench.measure import Prompts
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.llm import LLM

_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_SILENT = _LogCallback(lambda _level, _text, _data: None)
"""Drops the library's log; what goes wrong, it also returns. Must outlive the library's use."""


_NAMES_OF_QUANTIZATIONS = {"int8-cpu": "q8_0", "int4-cpu": "q4_0"}
"""What comes nearest to our own quantisations; others have the same name."""


@contextmanager
def open_llama_cpp(
    args: EngineArgs, *, num_tokens: int, context_len: int
) -> Iterator[tuple["LlamaCppDecoder | None", str | None]]:
    """The library's loop over the model of `args`, or None and the reason."""
    if importlib.util.find_spec("llama_cpp") is None:
        yield None, "llama-cpp-python is not installed"
        return
    try:
        path = _gguf_file(args)
        threads = torch.get_num_threads()
        decoder = LlamaCppDecoder(
            path, num_tokens=num_tokens, context_len=context_len, threads=threads
        )
    except (CheckpointError, ConfigError) as error:
        yield None, str(error)
        return
    with closing(decoder):
        yield decoder, None


def _gguf_file(args: EngineArgs) -> Path:
    """The file that our own llama.cpp runner reads for this model, which it makes if need be.

    Raises:
        CheckpointError, ConfigError: there is none for this model.
    """
    if args.model is not None and Path(args.model).suffix == ".gguf":
        return Path(args.model)
    quantization = _NAMES_OF_QUANTIZATIONS.get(args.quantization, args.quantization)
    changes = {"runner": "llama.cpp", "quantization": quantization, "max_num_seqs": 1}
    with closing(LLM(**args.settings() | changes)) as llm:
        return Path(getattr(llm.served_model, "path"))  # noqa: B009  # models of that runner have it


class LlamaCppDecoder:
    """One sequence at a time: `llama_decode` and the greedy sampler of the library."""

    def __init__(self, path: Path, *, num_tokens: int, context_len: int, threads: int) -> None:
        """
        Args:
            path: a GGUF file.
            context_len: most tokens of prompt and output.

        Raises:
            CheckpointError: llama.cpp cannot load the file.
        """
        import llama_cpp

        self._library: Any = llama_cpp
        self._num_tokens = num_tokens
        llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise CheckpointError(f"llama.cpp cannot load {path}.")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = context_len
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise CheckpointError(f"llama.cpp has no memory for {context_len} tokens of {path}.")
        self._sampler = llama_cpp.llama_sampler_init_greedy()

    def __call__(self, prompts: Prompts) -> list[list[int]]:
        return [self._decode(prompt) for prompt in prompts]

    def close(self) -> None:
        """Free the model and its cache."""
        self._library.llama_sampler_free(self._sampler)
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)

    def _decode(self, prompt: list[int]) -> list[int]:
        library, context = self._library, self._context
        library.llama_memory_clear(library.llama_get_memory(context), True)
        new_ids: list[int] = []
        fed = prompt
        while len(new_ids) < self._num_tokens:
            tokens = (library.llama_token * len(fed))(*fed)
            status = library.llama_decode(context, library.llama_batch_get_one(tokens, len(fed)))
            assert status == 0, f"llama_decode returned {status}"
            new_ids.append(library.llama_sampler_sample(self._sampler, context, -1))
            fed = new_ids[-1:]
        return new_ids

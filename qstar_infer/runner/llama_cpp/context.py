"""A model and a cache of llama.cpp, with views of what it writes.

What a pass reads is in arrays of ctypes, not of numpy: a pass reads all weights, after which each
operation of a large library has to be read from memory again.
"""

import ctypes
import weakref
from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qstar_infer.checkpoint.gguf.llama_cpp import llama_cpp
from qstar_infer.errors import CheckpointError
from qstar_infer.runner.llama_cpp.limits import MAX_TEXTS
from qstar_infer.runner.llama_cpp.passes import Pass

_NO_POOLING = 0
_WITHOUT_FLASH, _WITH_FLASH = 0, 1
"""`llama_flash_attn_type`."""
_MOST_ROWS_AT_ONCE = 512
_F32, _F16 = 0, 1
"""`ggml_type` of keys and values."""
_MOST_VIEWS = 64
_NO_ROOM = 1
"""What `llama_decode` returns if the cache is full."""


class LlamaContext:
    """Loads a GGUF file and computes passes over it. Not thread-safe.

    Attributes:
        vocab_size: rows of the embedding, thought vectors included.
        hidden_size: of a state.
    """

    def __init__(
        self, path: Path, *, num_cells: int, max_rows: int, num_threads: int, is_exact: bool = False
    ) -> None:
        """
        Args:
            path: the GGUF file.
            num_cells: tokens whose keys and values fit in the cache.
            max_rows: the most rows of a pass.
            num_threads: of a pass.
            is_exact: keep keys and values, and compute attention, in float32 and not float16.

        Raises:
            CheckpointError: llama.cpp cannot load the file.
        """
        self._library = llama_cpp()
        self._max_rows = max_rows
        self._model = self._library.llama_model_load_from_file(
            str(path).encode(), self._library.llama_model_default_params()
        )
        if not self._model:
            raise CheckpointError(f"llama.cpp cannot load {path}; its log says why.")
        params = self._library.llama_context_default_params()
        params.n_ctx = num_cells
        params.n_batch = max(max_rows, MAX_TEXTS)  # llama.cpp ends the process if it is less
        params.n_ubatch = min(params.n_batch, _MOST_ROWS_AT_ONCE)
        params.n_seq_max = MAX_TEXTS
        params.n_threads = params.n_threads_batch = num_threads
        params.kv_unified = True
        params.pooling_type = _NO_POOLING
        params.type_k = params.type_v = _F32 if is_exact else _F16
        # Its flash attention is faster, but computes in float16 whatever the cache holds.
        params.flash_attn_type = _WITHOUT_FLASH if is_exact else _WITH_FLASH
        params.no_perf = True
        self._context = self._library.llama_init_from_model(self._model, params)
        if not self._context:
            self._library.llama_model_free(self._model)
            raise CheckpointError(
                f"llama.cpp cannot make a cache of {num_cells} tokens for {path}; lower num_blocks."
            )
        self._free = weakref.finalize(self, _free, self._library, self._context, self._model)
        self._memory = self._library.llama_get_memory(self._context)
        vocabulary = self._library.llama_model_get_vocab(self._model)
        self.vocab_size: int = self._library.llama_vocab_n_tokens(vocabulary)
        self.hidden_size: int = self._library.llama_model_n_embd(self._model)
        self._tokens: Any = (ctypes.c_int32 * max_rows)()
        self._positions: Any = (ctypes.c_int32 * max_rows)()
        self._counts: Any = (ctypes.c_int32 * max_rows)()
        self._pointers: Any = (ctypes.c_void_p * (max_rows + 1))()
        self._outputs: Any = (ctypes.c_int8 * max_rows)()
        self._batch = self._make_batch()
        self._gives_states: bool | None = None
        self._views: dict[tuple[int, int, int], Tensor] = {}

    def free_text(self, text: int, start: int = 0) -> None:
        """Take a text's tag from its cells at the positions from `start` on."""
        self._library.llama_memory_seq_rm(self._memory, text, start, -1)

    def copy_text(self, source: int, target: int, end: int) -> None:
        """Give the cells of one text at the positions `[0, end)` the tag of another as well."""
        self._library.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def last_position(self, text: int) -> int:
        """Of the cells of a text; -1 if it has none."""
        position: int = self._library.llama_memory_seq_pos_max(self._memory, text)
        return position

    def decode(self, rows: Pass, *, needs_states: bool) -> None:
        """Compute the rows of a pass.

        Raises:
            MemoryError: the cache is full. Nothing was stored.
            RuntimeError: llama.cpp failed.
        """
        count = rows.num_rows
        assert count <= self._max_rows, f"{count} rows, at most {self._max_rows} fit in a pass"
        self._tokens[:count] = rows.token_ids
        self._positions[:count] = rows.positions
        self._outputs[:count] = [0] * rows.num_silent + [1] * (count - rows.num_silent)
        texts = self._set_texts(rows.texts)
        self._batch.n_tokens = count
        if needs_states != self._gives_states:
            self._library.llama_set_embeddings(self._context, needs_states)
            self._gives_states = needs_states
        status = self._library.llama_decode(self._context, self._batch)
        del texts  # must live until here
        if status == _NO_ROOM:
            raise MemoryError("llama.cpp's cache has no room for the rows of this pass")
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}; the log llama.cpp says why")

    def logits(self, count: int) -> Tensor:
        """The logits of the last pass's outputs, `[count, vocab]`: a view, until the next pass."""
        return self._view(self._library.llama_get_logits(self._context), count, self.vocab_size)

    def states(self, count: int) -> Tensor:
        """The states after the final norm, `[count, hidden]`: a view, until the next pass."""
        return self._view(
            self._library.llama_get_embeddings(self._context), count, self.hidden_size
        )

    def close(self) -> None:
        """Free the cache and the model. The context must not be used any more."""
        self._free()

    def _view(self, pointer: Any, count: int, width: int) -> Tensor:
        if not count:
            return torch.empty(0, width)
        key = ctypes.addressof(pointer.contents), count, width
        view = self._views.get(key)
        if view is None:  # llama.cpp has moved its buffer, or this is the first
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            values = np.ctypeslib.as_array(pointer, (count, width))
            view = self._views[key] = torch.from_numpy(values)
        return view

    def _make_batch(self) -> Any:
        """A `llama_batch` whose arrays are ours, so that a pass fills them without a loop."""
        integers, pointers = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        batch = self._library.llama_batch()
        batch.token = ctypes.cast(self._tokens, integers)
        batch.embd = None
        batch.pos = ctypes.cast(self._positions, integers)
        batch.n_seq_id = ctypes.cast(self._counts, integers)
        batch.seq_id = ctypes.cast(self._pointers, ctypes.POINTER(integers))
        batch.logits = ctypes.cast(self._outputs, pointers)
        return batch

    def _set_texts(self, texts: Sequence[Sequence[int]]) -> "array[int]":
        """Point each row to its numbers, which are in the array that is returned."""
        count = len(texts)
        counts = [len(each) for each in texts]
        numbers = array("i", chain.from_iterable(texts))
        address, _ = numbers.buffer_info()
        self._counts[:count] = counts
        begins = accumulate(counts[:-1], initial=0)
        self._pointers[:count] = [address + numbers.itemsize * begin for begin in begins]
        self._pointers[count] = None
        return numbers


def _free(library: Any, context: Any, model: Any) -> None:
    library.llama_free(context)
    library.llama_model_free(model)

"""An attention backend whose layers are one call of `paged_attention.c` each."""

import ctypes

from torch import Tensor

from qstar_infer.attention.backend import StepAttentionState
from qstar_infer.attention.paged.library import KINDS, MAX_DIM, Layer, load_paged_attention
from qstar_infer.attention.paged.plan import Plan, StepArrays
from qstar_infer.compiled.parallel import num_threads, parallel_function
from qstar_infer.kv_cache.kv_pool import KVPool
from qstar_infer.step import StepBatch


class PagedBackend:
    """An `AttentionBackend` for CPUs with a C compiler.

    The bits of a row depend only on what the row attends to: not on other rows or sequences, on
    where blocks lie, or on the number of threads.
    """

    def __init__(self, pool: KVPool, library: ctypes.CDLL) -> None:
        self._pool = pool
        self._attend = library.attend
        self._layers = [
            ctypes.pointer(
                Layer(
                    keys=keys.data_ptr(),
                    values=values.data_ptr(),
                    num_slots=keys.shape[1],
                    kind=KINDS[keys.dtype],
                    kv_heads=keys.shape[0],
                    key_dim=keys.shape[2],
                    value_dim=values.shape[2],
                )
            )
            for keys, values in zip(pool.keys, pool.values, strict=True)
        ]

    def prepare(self, batch: StepBatch) -> StepAttentionState:
        """See `AttentionBackend.prepare`."""
        return PagedState(self._pool, self._layers, self._attend, batch)


def build_paged(pool: KVPool) -> PagedBackend | None:
    """The backend, if the pool is on a CPU, of a known dtype, and this machine can build it."""
    keys = pool.keys[0]
    if keys.device.type != "cpu" or keys.dtype not in KINDS:
        return None
    if max(states.shape[-1] for states in (*pool.keys, *pool.values)) > MAX_DIM:
        return None
    library = load_paged_attention()
    return None if library is None else PagedBackend(pool, library)


class PagedState:
    """The attention state of one step."""

    def __init__(
        self,
        pool: KVPool,
        layers: "list[ctypes._Pointer[Layer]]",
        attend: "ctypes._NamedFuncPointer",
        batch: StepBatch,
    ) -> None:
        self._pool = pool
        self._layers = layers
        self._attend = attend
        self._arrays = StepArrays(batch)
        self._parallel = parallel_function()
        self._num_threads = num_threads()
        self._plans: dict[tuple[int, int, int], Plan] = {}

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """See `AttentionState.attend`; the batch size is 1."""
        _, heads, num_rows, _ = query.shape
        kv_heads, value_dim = value.shape[1], value.shape[3]
        output = query.new_empty(1, num_rows, heads, value_dim)
        query, key, value = (_with_adjacent_numbers(states) for states in (query, key, value))
        self._attend(
            self._layers[layer],
            self._plan(kv_heads, heads // kv_heads, value_dim).pointer,
            *(query.data_ptr(), query.stride(1), query.stride(2)),
            *(key.data_ptr(), key.stride(1), key.stride(2)),
            *(value.data_ptr(), value.stride(1), value.stride(2)),
            output.data_ptr(),
            scale,
            window or 0,
            self._parallel,
        )
        return output

    def broken_rows(self) -> list[int]:
        """See `StepAttentionState.broken_rows`."""
        rows: list[int] = self._arrays.broken.nonzero().flatten().tolist()
        return rows

    def _plan(self, kv_heads: int, groups: int, value_dim: int) -> Plan:
        shape = kv_heads, groups, value_dim
        if shape not in self._plans:
            self._plans[shape] = Plan(
                self._arrays,
                kv_heads=kv_heads,
                groups=groups,
                value_dim=value_dim,
                num_threads=self._num_threads,
            )
        return self._plans[shape]


def _with_adjacent_numbers(states: Tensor) -> Tensor:
    return states if states.stride(-1) == 1 else states.contiguous()

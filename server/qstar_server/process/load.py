"""Loads the engine of a process that does nothing but serve it."""

import gc

from qstar_infer.engine.protocol import Engine
from qstar_infer.engine_args import EngineArgs


def load_engine(engine_args: EngineArgs) -> Engine:
    """Load, and exempt what is loaded from garbage collection, because it stays to the end.

    Half a million objects take a quarter of a second to look through. Now and then every stream
    would stand still for so long.

    Raises:
        QStarError: the engine cannot be loaded.
    """
    # Not at the top: it imports torch, and `qstar serve --help` must not wait for that.
    from qstar_infer.engine.create import create_async_engine

    engine = create_async_engine(engine_args)
    gc.collect()
    gc.freeze()
    return engine

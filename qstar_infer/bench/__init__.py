"""The measurements of `qstar bench`."""

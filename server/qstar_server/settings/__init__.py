"""The settings of `qstar serve`."""

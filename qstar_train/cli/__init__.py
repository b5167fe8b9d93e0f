"""The commands `qstar train` and `qstar prepare`."""

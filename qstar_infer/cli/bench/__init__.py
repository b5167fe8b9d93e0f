"""`qstar bench`: one file for each measurement."""

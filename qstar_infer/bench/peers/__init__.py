"""What our engine is compared with, each on the same weights."""

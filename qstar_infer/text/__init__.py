"""Conversion of text to tokens and back: detokenizing, offsets, stop strings. No torch."""

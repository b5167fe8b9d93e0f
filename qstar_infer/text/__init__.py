"""Text and tokens: encoding, decoding piece by piece, offsets, stop strings. No torch."""

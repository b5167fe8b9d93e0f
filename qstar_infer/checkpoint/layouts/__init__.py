"""How each code base of the Quiet-STaR family writes its checkpoints."""

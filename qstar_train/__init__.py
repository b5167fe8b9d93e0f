"""Train models to think before they speak (Quiet-STaR), on top of `qstar_infer`'s model."""

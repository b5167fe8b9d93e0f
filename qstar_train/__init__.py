"""Train models that think, and measure what thinking is worth. Built on `qstar_infer`'s oracle."""

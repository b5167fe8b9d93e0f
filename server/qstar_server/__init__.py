"""The HTTP server: an OpenAI-style API in front of a Quiet-STaR engine.

It knows requests, tokens and text; it knows nothing of tensors. Of `qstar_infer` it imports only
the core types. `cli` alone starts the real engine, for `qstar serve`.
"""

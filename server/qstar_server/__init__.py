"""The HTTP server: an OpenAI-style API for a Quiet-STaR engine.

Each endpoint has a folder: `protocol.py` (request and response types), `serving.py` (from a request
to a running job), `renderer.py` (from engine outputs to JSON) and `router.py` (HTTP). The modules
next to the folders are shared by all endpoints.

The server handles requests, tokens and text, never tensors. It imports only torch-free modules of
`qstar_infer`; `cli` alone creates the engine, when `qstar serve` runs.
"""

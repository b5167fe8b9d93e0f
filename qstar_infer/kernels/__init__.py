"""Linear layers on a CPU: the kernels torch offers, and the choice between them."""

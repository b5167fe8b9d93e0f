"""The running server: connections, the engine, start and stop."""

"""What the server tells its operator: log, metrics, traces."""

"""What all generating endpoints share: request fields, the running job, and parts of responses."""

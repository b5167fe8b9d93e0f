"""Requests and responses as such: bodies, errors, streams, keys, hosts."""

"""Keeps a text in the form that a request asks for: JSON, a regex, a grammar. No torch."""

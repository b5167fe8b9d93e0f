"""The view of thoughts in a notebook, a copy of the client's (scripts/copy_views.py)."""

"""The view of thoughts in a notebook. clients/look/README.md describes it."""

"""The documentation site: what is added to the pages in docs/, and how its links are checked."""

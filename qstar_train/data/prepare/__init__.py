"""Text and question sets that come in packages, made into jsonl. Imports no package it reads."""

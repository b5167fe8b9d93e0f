"""Loads PEFT adapters."""

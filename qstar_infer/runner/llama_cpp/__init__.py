"""Computes steps with llama.cpp, through the package llama-cpp-python."""

"""Quantization-aware training and evaluation; importing the package loads no torch."""

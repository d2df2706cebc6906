"""Notebooks of this package; ``pynq get-notebooks`` copies them to where Jupyter looks."""

"""Rendering: an engine becomes C++ and scripts, as a dict of files that touches no disk."""

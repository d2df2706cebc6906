"""Hypothesis: the same examples in every CI run, fresh ones at a desk; no deadlines, for the machine
may be busy with another worker."""

import os

from hypothesis import settings

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

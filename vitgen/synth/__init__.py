"""The vendor's tools: found, run with their progress shown, their reports read."""

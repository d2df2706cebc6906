"""Benches for cocotb; ``tests/rtl`` builds and runs them."""

from tests.quant.conftest import calibrated, digits, odd_config

__all__ = ["calibrated", "digits", "odd_config"]

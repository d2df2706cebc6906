from tests.quant.conftest import calibrated, digits, odd_config, stem_images, stem_model

__all__ = ["calibrated", "digits", "odd_config", "stem_images", "stem_model"]

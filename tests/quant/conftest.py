"""Small models that the tests of models, quant and lower share."""

import pytest
import torch
from sklearn.datasets import load_digits

from vitgen.models import VitConfig, config, create
from vitgen.quant import QuantConfig, calibrate

# These models are too small to share: several threads, beside other workers, wait for each other.
torch.set_num_threads(1)


@pytest.fixture
def odd_config():
    """A model that no named one is like: 5 heads of 40, patch 14, MLP ratio 3."""
    return VitConfig("odd", image=28, patch=14, embed_dim=200, depth=2, heads=5, mlp_ratio=3,
                     classes=7)


@pytest.fixture(scope="session")
def digits():
    """All 1,797 of scikit-learn's digits, normalised, and their classes."""
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(data.target)


@pytest.fixture
def calibrated(digits):
    """An untrained vit_digits at 4/8 mixed, calibrated, and sixteen images."""
    images = digits[0][:16]
    model = create(config("vit_digits"), QuantConfig.parse("4/8", scheme="mixed"), 0).eval()
    calibrate(model, images)
    return model, images

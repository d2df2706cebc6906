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


STEM = VitConfig(
    "stem", image=32, patch=8, embed_dim=24, depth=2, heads=3, mlp_ratio=3, classes=7,
    norm_eps=1e-5, qkv_bias=False, skip_lam=2.0,
    stem=({"channels": 8, "kernel": 7, "stride": 2}, {"channels": 6, "kernel": 3}),
)  # fmt: skip
"""An LV-ViT in small: two convolutions, windows of 4 x 4 on their map."""


def uneven(model):
    """``model`` with BatchNorms of which every parameter and statistic shows in the result."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if ".bn" in name and value.is_floating_point():
                spread = torch.rand(value.shape, generator=generator)
                positive = name.endswith(("running_var", "weight"))
                value.copy_(spread * 2 + 0.3 if positive else spread - 0.5)
    return model


@pytest.fixture
def stem_images():
    """Three images of :data:`STEM`, normalised; no pixel beyond what an image can hold."""
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)


@pytest.fixture
def stem_model(stem_images):
    """An untrained model of :data:`STEM` at 4/8 mixed, calibrated."""
    model = uneven(create(STEM, QuantConfig.parse("4/8", scheme="mixed"), 0)).eval()
    calibrate(model, stem_images)
    return model


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

"""What a training image goes through, and the learning rate."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from vitgen.train.loop import rate_at, warped
from vitgen.train.recipe import DIGITS

STILL = replace(DIGITS, turn=0.0, zoom=0.0, move=0.0, noise=0.0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images() -> torch.Tensor:
    return torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_without_warp_or_noise_images_stay():
    torch.testing.assert_close(warped(images(), STILL, generator()), images())


def test_a_warp_is_seeded_and_different_for_every_image():
    same = images()[:1].expand(64, -1, -1, -1)
    moved = warped(same, DIGITS, generator())
    assert torch.equal(moved, warped(same, DIGITS, generator()))
    assert len({image.numpy().tobytes() for image in moved}) == 64


def test_a_move_is_at_most_its_reach():
    recipe = replace(STILL, move=0.25)  # of half of 8 pixels: one pixel
    spot = torch.zeros(200, 1, 8, 8)
    spot[:, :, 4, 4] = 1.0
    mean = warped(spot, recipe, generator()).mean(dim=(0, 1))
    assert mean[3:6, 3:6].sum() > 0.99
    assert mean.sum() == pytest.approx(float(mean[3:6, 3:6].sum()), abs=1e-5)
    assert mean[3, 4] > 0.05 and mean[5, 4] > 0.05 and mean[4, 3] > 0.05 and mean[4, 5] > 0.05


def test_noise_has_its_deviation():
    noisy = warped(torch.zeros(1000, 1, 8, 8), replace(STILL, noise=0.05), generator())
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.02)


def test_the_rate_rises_then_falls_to_zero():
    rates = [rate_at(step, 100, 2.0, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == rates[10] == 2.0
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001
    assert rate_at(0, 1, 2.0, 0.1) == 2.0

"""Digits at random places of noisy canvases."""

import numpy as np
import pytest

from vitgen.data import canvases, digits, place


def test_an_image_stands_somewhere_whole():
    images = np.random.default_rng(0).random((50, 2, 3, 4), dtype=np.float32)
    placed = place(images, np.random.default_rng(1), side=9, noise=0.0)
    assert placed.shape == (50, 2, 9, 9) and placed.dtype == np.float32
    corners = set()
    for image, canvas in zip(images, placed, strict=True):
        rows = np.flatnonzero(canvas.any(axis=(0, 2)))
        columns = np.flatnonzero(canvas.any(axis=(0, 1)))
        assert np.array_equal(canvas[:, rows[0] : rows[0] + 3, columns[0] : columns[0] + 4], image)
        assert np.count_nonzero(canvas) == np.count_nonzero(image)
        corners.add((rows[0], columns[0]))
    assert {row for row, _ in corners} == set(range(7))
    assert {column for _, column in corners} == set(range(6))


def test_noise_stays_within_the_range():
    black = np.zeros((20, 1, 8, 8), dtype=np.float32)
    placed = place(black, np.random.default_rng(0), noise=0.5)
    assert placed.min() == 0 and placed.max() == 1
    assert 0.4 < (placed > 0).mean() < 0.6  # half of a normal distribution


def test_a_canvas_no_larger_than_the_image():
    image = np.full((1, 1, 5, 5), 0.5, dtype=np.float32)
    assert np.array_equal(place(image, np.random.default_rng(0), side=5, noise=0.0), image)


def test_the_same_places_for_the_same_seed():
    images = digits()[0].images[:5]
    first, again, other = (place(images, np.random.default_rng(n)) for n in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_canvases_are_fixed():
    assert all(a is b for a, b in zip(canvases(), canvases(), strict=True))
    for part, bare in zip(canvases(), digits(), strict=True):
        assert part.images.shape == (len(bare.labels), 1, 24, 24)
        assert np.array_equal(part.labels, bare.labels)
        with pytest.raises(ValueError, match="read-only"):
            part.images[0] = 0

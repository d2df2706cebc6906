"""Pre-processing: every pixel in its place, quantization by hand, photographs, bad images."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitgen.errors import VitgenError
from vitgen.reference import digit_image, fit_image, patches_of, pixels_of, preprocess

META: dict[str, Any] = {
    "image": [3, 8, 12],
    "patch": 4,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "input_scale": 0.02,
    "classes": 10,
}
DIGITS: dict[str, Any] = {
    "image": [1, 8, 8],
    "patch": 2,
    "mean": [0.5],
    "std": [0.5],
    "input_scale": 1 / 127,
}


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_every_pixel_is_in_its_place(channels: int, p: int, down: int, across: int) -> None:
    height, width = down * p, across * p
    image = np.arange(channels * height * width).reshape(channels, height, width) + 1
    rows = patches_of(image, p)
    assert rows.shape == (1 + down * across, channels * p * p)
    assert not rows[0].any()
    for c, y, x in np.ndindex(image.shape):
        token = 1 + (y // p) * across + x // p
        assert rows[token, c * p * p + (y % p) * p + x % p] == image[c, y, x]


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_every_pixel_is_a_token(channels: int, height: int, width: int) -> None:
    image = np.arange(channels * height * width).reshape(channels, height, width) + 1
    rows = pixels_of(image)
    assert rows.shape == (height * width, channels)
    for c, y, x in np.ndindex(image.shape):
        assert rows[y * width + x, c] == image[c, y, x]


def test_pixels_hold_the_same_integers_as_patches() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    patches = preprocess(META, image)
    assert np.array_equal(preprocess(META | {"input_form": "patches"}, image), patches)
    pixels = preprocess(META | {"input_form": "pixels"}, image)
    assert pixels.dtype == np.int8 and pixels.shape == (96, 3) and pixels.flags.c_contiguous
    for channel, y, x in np.ndindex(3, 8, 12):
        token, feature = 1 + (y // 4) * 3 + x // 4, channel * 16 + (y % 4) * 4 + x % 4
        assert pixels[y * 12 + x, channel] == patches[token, feature]


def by_hand(meta: dict[str, Any], pixel: float, channel: int) -> int:
    normal = (pixel - meta["mean"][channel]) / meta["std"][channel] / meta["input_scale"]
    return max(-127, min(127, round(normal)))


@pytest.mark.parametrize("kind", ["photograph", "float32", "float64"])
def test_values(kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    unit = np.moveaxis(pixels, 2, 0) / 255.0
    image = pixels if kind == "photograph" else unit.astype(kind)
    patches = preprocess(META, image)
    assert patches.dtype == np.int8 and patches.shape == (7, 48)
    assert patches.min() >= -127
    # In float32 no pixel of this image lies near enough to a half to round otherwise.
    for channel, y, x in np.ndindex(3, 8, 12):
        value = patches[1 + (y // 4) * 3 + x // 4, channel * 16 + (y % 4) * 4 + x % 4]
        assert value == by_hand(META, float(unit[channel, y, x]), channel)


def test_halves_round_to_even_and_ends_clamp() -> None:
    meta = {"image": [1, 1, 8], "patch": 1, "mean": [0.5], "std": [1.0], "input_scale": 0.125}
    pixels = 0.5 + np.array([-0.3125, -0.1875, -0.0625, 0.0, 0.0625, 0.1875, 0.3125, 0.5])
    assert preprocess(meta, pixels.reshape(1, 1, 8))[1:, 0].tolist() == [-2, -2, 0, 0, 0, 2, 2, 4]
    meta["input_scale"] = 1e-4
    clamped = preprocess(meta, np.array([[[0.0, 1.0] * 4]]))
    assert clamped[1:, 0].tolist() == [-127, 127] * 4


def test_digits() -> None:
    digit = np.arange(64.0).reshape(8, 8) % 17
    patches = preprocess(DIGITS, digit_image(digit))
    assert patches.shape == (17, 4)
    assert patches[1].tolist() == [
        by_hand(DIGITS, digit[y, x] / 16, 0) for y, x in np.ndindex(2, 2)
    ]
    assert patches.min() == -127 and patches.max() == 127
    grey = np.full((8, 8), 128, np.uint8)
    assert set(preprocess(DIGITS, grey)[1:].ravel().tolist()) == {round((256 / 255 - 1) * 127)}
    assert np.array_equal(preprocess(DIGITS, grey), preprocess(DIGITS, grey[..., None]))


@pytest.mark.parametrize(
    "digit", [np.full((8, 8), 17.0), np.full((8, 8), -1.0), np.zeros((1, 8, 8)), np.zeros((0, 8))]
)
def test_bad_digits(digit: np.ndarray) -> None:
    with pytest.raises(VitgenError, match="is not a grey image"):
        digit_image(digit)


@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        ((480, 640), (256, 341), (16, 58)),  # timm: 256 x int(256 * 640 / 480), cut at round(58.5)
        ((640, 480), (341, 256), (58, 16)),
        ((256, 256), (256, 256), (16, 16)),
        ((100, 100), (256, 256), (16, 16)),
        ((9, 900), (256, 25600), (16, 12688)),
    ],
)
def test_photographs_are_resized_and_cut_like_timm(
    size: tuple[int, int], resized: tuple[int, int], box: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize(resized[::-1], Image.Resampling.BICUBIC)
    top, left = box
    expected = np.asarray(picture)[top : top + 224, left : left + 224]
    assert np.array_equal(fit_image(pixels, 224, 224), expected)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([1, 3]),
)
def test_any_size_fits(tall: int, wide: int, height: int, width: int, channels: int) -> None:
    fitted = fit_image(np.full((tall, wide, channels), 77, np.uint8), height, width)
    assert fitted.shape == (height, width, channels)
    assert np.all(fitted == 77)


@pytest.mark.parametrize("size", [(1, 101), (101, 1), (2, 60000)])
def test_a_strip_is_no_photograph(size: tuple[int, int]) -> None:
    with pytest.raises(VitgenError, match="more than 100 times as long as wide"):
        fit_image(np.zeros((*size, 3), np.uint8), 224, 224)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    assert np.array_equal(fit_image(pixels, 8, 12), pixels)


BAD: dict[str, tuple[np.ndarray, str]] = {
    "two channels": (np.zeros((8, 12, 2), np.uint8), r"has not \(height, width, 3\)"),
    "alpha": (np.zeros((8, 12, 4), np.uint8), "3 channels"),
    "grey": (np.zeros((8, 12), np.uint8), r"shape \(8, 12\)"),
    "channels first": (np.zeros((3, 8, 12), np.uint8), r"shape \(3, 8, 12\)"),
    "no rows": (np.zeros((0, 12, 3), np.uint8), r"shape \(0, 12, 3\)"),
    "scalar": (np.uint8(3), r"shape \(\)"),
    "nothing": (np.array([]), r"shape \(0,\)"),
    "wide integers": (np.zeros((8, 12, 3), np.int64), "int64"),
    "booleans": (np.zeros((8, 12, 3), bool), "bool"),
    "text": (np.array("photo.jpg"), "<U9"),
    "objects": (np.array([None]), "object"),
    "float size": (np.zeros((3, 8, 8)), r"shape \(3, 8, 8\)"),
    "float channels last": (np.zeros((8, 12, 3)), r"shape \(8, 12, 3\)"),
    "not scaled": (np.full((3, 8, 12), 255.0), "outside 0..1"),
    "negative": (np.full((3, 8, 12), -0.01), "outside 0..1"),
    "nan": (np.full((3, 8, 12), math.nan), "outside 0..1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_images(case: str) -> None:
    image, message = BAD[case]
    with pytest.raises(VitgenError, match=message) as caught:
        preprocess(META, image)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"image": [3, 8]},
        {"image": None},
        {"image": [3, 0, 12]},
        {"patch": 5},
        {"patch": 0},
        {"mean": [0.5]},
        {"mean": ["red", "green", "blue"]},
        {"std": [1.0, 0.0, 1.0]},
        {"std": [1.0, math.nan, 1.0]},
        {"mean": [0.0, math.inf, 0.0]},
        {"input_scale": 0.0},
        {"input_scale": math.nan},
        {"input_scale": math.inf},
        {"input_scale": None},
        {"input_form": "maps"},
        {"input_form": ["pixels"]},
        {"input_form": None},
    ],
)
def test_bad_meta(changes: dict[str, Any]) -> None:
    with pytest.raises(VitgenError, match="image format"):
        preprocess(META | changes, np.zeros((8, 12, 3), np.uint8))


@pytest.mark.parametrize("key", ["image", "patch", "mean", "std", "input_scale"])
def test_missing_meta(key: str) -> None:
    meta = {k: v for k, v in META.items() if k != key}
    with pytest.raises(VitgenError, match=f"KeyError.*{key}"):
        preprocess(meta, np.zeros((8, 12, 3), np.uint8))

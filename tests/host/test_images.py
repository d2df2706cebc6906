"""Pictures become the integers that the model was trained on and the bytes that the engine reads:
the driver's own code against vitgen's, for every kind of picture."""

import importlib
from io import BytesIO
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.host.build import Built, design_of, emit, graph_of, stem_graph
from tests.host.conftest import import_package
from vitgen.data import digits, photographs
from vitgen.data.folder import read_image
from vitgen.flow.images import with_channels
from vitgen.reference import preprocess

COLOUR = {
    "image": [3, 12, 20], "patch": 4, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    "input_scale": 0.0207, "input_form": "patches", "layout": None, "region": None,
}  # fmt: skip
GREY = COLOUR | {"image": [1, 8, 8], "patch": 2, "mean": [0.5], "std": [0.5]}
PHOTOGRAPH = COLOUR | {"image": [3, 224, 224], "patch": 16}


@pytest.fixture(scope="module")
def module(emitted: Built) -> ModuleType:
    import_package(emitted.host)
    return importlib.import_module("vitgen_tiny_vit.images")


def same(module: ModuleType, record: dict, image: np.ndarray) -> None:
    """Arrays that vitgen takes too."""
    found = module.Preprocessor(record).tokens(image)
    expected = preprocess(record, image)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_arrays_of_any_size(module, height, width, seed, smooth):
    if max(height, width) > 100 * min(height, width):
        return
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if smooth:
        image = np.sort(image, axis=0)
    same(module, COLOUR, image)
    same(module, COLOUR | {"input_form": "pixels"}, image)
    same(module, GREY, image[..., :1])
    same(module, GREY, image[..., 0])


@pytest.mark.parametrize("size", [224, 256, 225, 300])
def test_photographs(module, size):
    for crop in photographs(size, 3):
        same(module, PHOTOGRAPH, crop)
        same(module, PHOTOGRAPH, crop[: size * 2 // 3])
        same(module, PHOTOGRAPH, np.ascontiguousarray(crop[:, : size // 2]))


def test_digits(module):
    for image in digits()[1].images[:200]:
        same(module, GREY, image)


def test_floating_point_colour(module):
    same(module, COLOUR, np.random.default_rng(0).random((3, 12, 20), dtype=np.float32))


def encoded(image: Image.Image, kind: str, **options) -> BytesIO:
    file = BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def pictures() -> dict[str, BytesIO]:
    """Files of every mode that a JPEG or PNG has, and a photograph that was held upright."""
    pixels = photographs(97, 3)[2][:, :71]
    colour = Image.fromarray(pixels)
    alpha = Image.fromarray(np.random.default_rng(1).integers(0, 256, (97, 71), dtype=np.uint8))
    clear = colour.copy()
    clear.putalpha(alpha)
    grey = colour.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    return {
        "png": encoded(colour, "PNG"),
        "jpeg": encoded(colour, "JPEG", quality=83),
        "upright": encoded(colour, "JPEG", exif=exif),
        "progressive": encoded(colour, "JPEG", progressive=True, subsampling=2),
        "cmyk": encoded(colour.convert("CMYK"), "JPEG"),
        "rgba": encoded(clear, "PNG"),
        "grey png": encoded(grey, "PNG"),
        "grey jpeg": encoded(grey, "JPEG"),
        "grey alpha": encoded(clear.convert("LA"), "PNG"),
        "palette": encoded(colour.quantize(13), "PNG"),
        "black and white": encoded(grey.convert("1"), "PNG"),
        "interlaced size": encoded(colour.resize((20, 12)), "PNG"),
    }


@pytest.mark.parametrize("name", list(pictures()))
@pytest.mark.parametrize("record", [COLOUR, GREY], ids=["colour", "grey"])
def test_files(module, tmp_path, name, record):
    path = tmp_path / "picture.bin"  # the name says nothing
    path.write_bytes(pictures()[name].getvalue())
    # Transparency is dropped and a turn is not undone, as in training (timm).
    array = with_channels(read_image(path), record["image"][0])
    expected = preprocess(record, array)
    form = module.Preprocessor(record)
    assert np.array_equal(form.tokens(path), expected)
    assert np.array_equal(form.tokens(Image.open(path)), expected)


def test_channels_are_made_as_files_are(module):
    rng = np.random.default_rng(5)
    colour = rng.integers(0, 256, (30, 31, 4), dtype=np.uint8)
    grey = colour[..., :1]
    assert np.array_equal(
        module.Preprocessor(GREY).tokens(colour),
        preprocess(GREY, with_channels(colour[..., :3], 1)),
    )
    threefold = np.concatenate([grey] * 3, axis=2)
    for given_ in (grey, grey[..., 0]):
        found = module.Preprocessor(COLOUR).tokens(given_)
        assert np.array_equal(found, preprocess(COLOUR, threefold))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(100), b"not an image",
        pictures()["jpeg"].getvalue()[:500], pictures()["png"].getvalue()[:200],
    ],
)  # fmt: skip
def test_files_that_are_no_pictures(module, tmp_path, content):
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(module.BadImage, match="cannot be read as an image"):
        module.Preprocessor(COLOUR).tokens(path)


def test_modes_that_need_a_range(module, tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(path)
    for image in (path, Image.open(path), Image.new("F", (8, 8))):
        with pytest.raises(module.BadImage, match="more than 8 bits"):
            module.Preprocessor(COLOUR).tokens(image)
    with pytest.raises(module.BadImage, match="0 x 5 pixels"):
        module.Preprocessor(COLOUR).tokens(Image.new("RGB", (0, 5)))


SHAPES = [
    dict(group_lanes=3, groups=2),
    dict(group_lanes=1, groups=1, dsp_rows=8),
    dict(group_lanes=22, groups=1, dsp_rows=16),
    dict(group_lanes=5, groups=4, dsp_rows=4),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("make", [graph_of, stem_graph])
def test_the_image_buffer_is_the_programs(make, shape, tmp_path):
    graph = make()
    built = emit(graph, design_of(graph, **shape), tmp_path / "build")
    package = import_package(built.host)
    record = package.accelerator.Deployment()["image"]
    form = importlib.import_module("vitgen_tiny_vit.images").Preprocessor(record)
    channels, height, width = graph.meta["image"]
    rng = np.random.default_rng(2)
    for _ in range(3):
        image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
        tokens = preprocess(graph.meta, image).astype(np.int64)
        expected = built.program.pack_image(built.engine, tokens)
        assert np.array_equal(form.pack(image), expected)


@given(st.integers(4, 8), st.integers(1, 7), st.integers(1, 5), st.integers(1, 30), st.data())
def test_lanes_of_any_width(module, bits, group_lanes, groups, tokens, data):
    """Against integers put together by hand."""
    features = data.draw(st.integers(1, 4))
    limit = (1 << (bits - 1)) - 1
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = rng.integers(-limit, limit + 1, (tokens, features)).astype(np.int8)
    word_bytes = -(-group_lanes * bits // 128) * 16
    record = COLOUR | {
        "layout": {
            "groups": groups, "group_lanes": group_lanes, "bits": bits, "word_bytes": word_bytes,
        }
    }  # fmt: skip
    packed = module.Preprocessor(record).lay_out(values)
    slots = -(-tokens // (groups * group_lanes))
    words = []
    for slot in range(slots):
        for group in range(groups):
            for feature in range(features):
                word = 0
                for lane in range(group_lanes):
                    token = (slot * groups + group) * group_lanes + lane
                    value = int(values[token, feature]) if token < tokens else 0
                    word |= (value & ((1 << bits) - 1)) << lane * bits
                words.append(word.to_bytes(word_bytes, "little"))
    assert packed.tobytes() == b"".join(words)

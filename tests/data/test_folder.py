"""Folders of images: classes, labels, and every way in which they can be wrong."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitgen.data import ImageFolder
from vitgen.errors import VitgenError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path: Path, color: tuple[int, ...] = RED, mode: str = "RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (6, 4), color).save(path, **options)
    return path


def labelled(folder: Path) -> list[tuple[str, int | None]]:
    return [(f.relative_to(folder).as_posix(), c) for f, c in ImageFolder(folder).files]


def refusal(folder: Path) -> VitgenError:
    with pytest.raises(VitgenError) as caught:
        for _ in ImageFolder(folder):
            pass
    assert caught.value.remedy
    return caught.value


def test_subfolders_are_classes_by_name(tmp_path):
    for name in ("b/2.png", "b/1.JPEG", "a/deeper/x.jpg", "c/y.png", "a/.hidden.png", ".git/z.png"):
        save(tmp_path / name)
    (tmp_path / "a/readme.txt").write_text("not an image")
    folder = ImageFolder(tmp_path)
    assert folder.classes == ["a", "b", "c"]
    assert labelled(tmp_path) == [
        ("a/deeper/x.jpg", 0), ("b/1.JPEG", 1), ("b/2.png", 1), ("c/y.png", 2),
    ]  # fmt: skip
    assert len(folder) == len(list(folder)) == 4


def test_a_flat_folder_has_no_classes(tmp_path):
    for name in ("2.png", "1.jpg", "3.PNG"):
        save(tmp_path / name)
    folder = ImageFolder(str(tmp_path))
    assert folder.classes == []
    assert labelled(tmp_path) == [("1.jpg", None), ("2.png", None), ("3.PNG", None)]


def test_images_come_in_colour_as_they_are(tmp_path):
    save(tmp_path / "1.png", BLUE)
    save(tmp_path / "2.png", (7,), "L")
    save(tmp_path / "3.png", (1, 2, 3, 0), "RGBA")
    save(tmp_path / "4.jpg", (0, 0, 0, 0), "CMYK")
    images = [image for image, _ in ImageFolder(tmp_path)]
    assert all(image.shape == (4, 6, 3) and image.dtype == np.uint8 for image in images)
    colors = [tuple(image[0, 0].tolist()) for image in images]
    assert colors == [BLUE, (7, 7, 7), (1, 2, 3), (255, 255, 255)]


def test_a_labels_file_labels_images_and_folders(tmp_path):
    for name in ("cats/a.png", "cats/b.png", "two words/c.png"):
        save(tmp_path / name)
    (tmp_path / "labels.txt").write_text("cats 281\n\ncats/b.png 7\ntwo words 5\nabsent.png 1\n")
    assert labelled(tmp_path) == [("cats/a.png", 281), ("cats/b.png", 7), ("two words/c.png", 5)]


def test_a_labels_file_labels_a_flat_folder(tmp_path):
    save(tmp_path / "1.png"), save(tmp_path / "2.png")
    (tmp_path / "labels.txt").write_text("2.png 3\n1.png 65\n")
    assert labelled(tmp_path) == [("1.png", 65), ("2.png", 3)]
    (tmp_path / "labels.txt").write_text("2.png 3\n")
    assert "1.png" in refusal(tmp_path).problem


@pytest.mark.parametrize("line", ["1.png", "1.png -1", "1.png cat", "65", "1.png ²", "1.png 1.0"])
def test_a_bad_labels_file_is_refused_by_line(tmp_path, line):
    save(tmp_path / "1.png")
    (tmp_path / "labels.txt").write_text(f"1.png 1\n{line}\n", encoding="utf-8")
    problem = refusal(tmp_path).problem
    assert "Line 2" in problem and repr(line) in problem


def test_a_labels_file_must_be_text(tmp_path):
    save(tmp_path / "1.png")
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    assert "labels.txt" in refusal(tmp_path).problem


def test_a_sample_comes_from_every_class(tmp_path):
    for name in range(4):
        for index in range(20):
            save(tmp_path / f"{name}" / f"{index:02}.png", (name, index, 0))
    folder = ImageFolder(tmp_path)

    def drawn(count: int, seed: int) -> list[tuple[int, ...]]:
        return [tuple(image[0, 0, :2].tolist()) for image in folder.sample(count, seed)]

    assert drawn(24, 0) == drawn(24, 0) != drawn(24, 1)
    assert len(set(drawn(24, 0))) == 24 and drawn(24, 0) == sorted(drawn(24, 0))
    assert {name for name, _ in drawn(24, 0)} == {0, 1, 2, 3}
    assert len(drawn(1000, 0)) == 80


def test_images_are_read_when_they_are_asked_for(tmp_path):
    save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"damaged")
    images = iter(ImageFolder(tmp_path))
    next(images)
    with pytest.raises(VitgenError, match=r"2\.png"):
        next(images)


def test_a_folder_without_images_is_refused(tmp_path):
    assert str(tmp_path) in refusal(tmp_path).problem
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "class").mkdir()
    assert "holds no image" in refusal(tmp_path).problem


def test_what_is_no_folder_is_refused(tmp_path):
    assert "absent" in refusal(tmp_path / "absent").problem
    assert "1.png" in refusal(save(tmp_path / "1.png")).problem


def test_an_empty_class_folder_would_shift_the_classes(tmp_path):
    save(tmp_path / "a/1.png")
    (tmp_path / "b").mkdir()
    assert str(tmp_path / "b") in refusal(tmp_path).problem


def test_images_beside_class_folders_are_refused(tmp_path):
    save(tmp_path / "1.png")
    (tmp_path / "notes").mkdir()
    assert len(ImageFolder(tmp_path)) == 1
    save(tmp_path / "thumbnails/1.png")
    assert "'thumbnails'" in refusal(tmp_path).problem


@pytest.mark.parametrize("function", ["scandir", "listdir"])
def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch, function):
    save(tmp_path / "a/1.png")

    def forbidden(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # Not with chmod: whoever runs the tests as root may read everything.
    monkeypatch.setattr(os, function, forbidden)
    assert "Permission denied" in refusal(tmp_path).problem


def test_damaged_images_are_refused_by_path(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "whole.png")
    noise.save(tmp_path / "whole.jpg")
    whole, jpeg = ((tmp_path / f"whole.{kind}").read_bytes() for kind in ("png", "jpg"))
    damage = {
        "cut.png": whole[:3000], "empty.png": b"", "text.jpg": b"hello", "cut.jpg": jpeg[:2000],
        "header.png": whole[:16] + bytes(8) + whole[24:], "crc.png": whole[:200] + bytes(9) + whole[209:],
        # Pillow would hand this to Ghostscript.
        "program.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }  # fmt: skip
    for name, content in damage.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert name in refusal(folder).problem


def test_sixteen_bit_images_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 3000, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert "16-bit" in refusal(tmp_path).problem


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert "bomb.png" in refusal(tmp_path).problem

"""What scikit-learn ships: the digits' split, the photographs' crops."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from vitgen.data import digits, photographs
from vitgen.errors import VitgenError

# Of the held-out images and labels: accuracies of different versions are comparable only if the
# split never moves.
HELD_OUT = "8cd41648e37866552771e2f4f940512f1c5803e1ffcd452e3e32cc6ce43ffb0b"


def test_a_fixed_third_is_held_out():
    train, held_out = digits()
    content = held_out.images.tobytes() + held_out.labels.tobytes()
    assert hashlib.sha256(content).hexdigest() == HELD_OUT
    assert (len(train.labels), len(held_out.labels)) == (1198, 599)
    for part in (train, held_out):
        assert part.images.shape == (len(part.labels), 1, 8, 8)
        assert part.images.dtype == np.float32 and part.labels.dtype == np.int64
        assert part.images.min() == 0 and part.images.max() == 1


def test_every_digit_has_its_share_of_both_parts():
    train, held_out = (np.bincount(part.labels, minlength=10) for part in digits())
    assert np.all(np.abs(held_out - (train + held_out) / 3) < 1)


def test_digits_are_shared_and_so_read_only():
    assert digits()[0] is digits()[0]
    for part in digits():
        with pytest.raises(ValueError, match="read-only"):
            part.images[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            part.labels[0] = 0


@pytest.mark.parametrize("size", [224, 56, 500])
def test_photographs_are_seeded_crops(size):
    first, again, other = photographs(size, 5, 3), photographs(size, 5, 3), photographs(size, 5, 4)
    assert all(crop.shape == (size, size, 3) and crop.dtype == np.uint8 for crop in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    # The first two are the photographs themselves, whatever the seed.
    same = [np.array_equal(a, b) for a, b in zip(first, other, strict=True)]
    assert same == [True, True, False, False, False]
    assert len({crop.tobytes() for crop in first}) == 5
    assert all(crop.std() > 10 for crop in first)


def test_without_scikit_learn_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(VitgenError, match=r"vitgen\[train\]"):
        photographs(8, 1)


def test_images_need_no_torch_and_folders_no_scikit_learn():
    script = "import sys, vitgen.data; print(sys.modules.keys() & {'torch', 'sklearn', 'scipy'})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

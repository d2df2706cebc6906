"""Architectures: the named Vision Transformers and those described by a file. Free of torch."""

import dataclasses
import json
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitgen.arith.layernorm import MAX_FEATURES
from vitgen.arith.softmax import MAX_KEYS
from vitgen.errors import VitgenError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
MAX_DEPTH = 64


@dataclass(frozen=True)
class VitConfig:
    """Shape of a Vision Transformer with a class token and learned positions (timm's ``vit``/``deit``).

    Parameters
    ----------
    name : letters, digits and ``_``; names the IR graph.
    image : height and width of the square image in pixels.
    patch : height and width of a patch; divides ``image``.
    embed_dim : features of a token, at most 1,024; a multiple of ``heads``.
    depth : number of blocks, 1 to 64.
    heads : attention heads.
    channels, classes : of the image and of the classifier.
    mlp_ratio : hidden features of the MLP over ``embed_dim``; the product is a whole number.
    mean, std : per channel, of pixels in 0..1; the model sees ``(pixel - mean) / std``.
    norm_eps : epsilon of every LayerNorm.

    Raises
    ------
    VitgenError : a value that no Vision Transformer has, or that the integer functions do not hold.
    """

    name: str
    image: int
    patch: int
    embed_dim: int
    depth: int
    heads: int
    channels: int = 3
    classes: int = 1000
    mlp_ratio: float = 4.0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.match(self.name):
            raise VitgenError(
                f"The model name {self.name!r} is not made of letters, digits and _.",
                "Choose a name such as my_vit.",
            )
        for field in ("image", "patch", "embed_dim", "depth", "heads", "channels", "classes"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                self._refuse(f"{field} is {value!r}", "Give a whole number of at least 1.")
        for field in ("mlp_ratio", "norm_eps"):
            if not _is_positive(getattr(self, field)):
                self._refuse(f"{field} is {getattr(self, field)!r}", "Give a number above 0.")
        self._check_shape()
        self._check_normalisation()

    def _refuse(self, problem: str, remedy: str) -> None:
        raise VitgenError(f"Model {self.name}: {problem}.", remedy)

    def _check_shape(self) -> None:
        if self.image % self.patch:
            self._refuse(
                f"the patch of {self.patch} does not divide the image of {self.image}",
                "Choose a patch that divides the image.",
            )
        if self.embed_dim % self.heads:
            self._refuse(
                f"{self.heads} heads do not divide the width of {self.embed_dim}",
                "Choose embed_dim as a multiple of heads.",
            )
        if self.embed_dim > MAX_FEATURES:
            self._refuse(
                f"embed_dim is {self.embed_dim}",
                f"The integer LayerNorm is exact up to {MAX_FEATURES} features.",
            )
        if self.tokens > MAX_KEYS:
            self._refuse(
                f"an image gives {self.tokens} tokens",
                f"The integer softmax is exact up to {MAX_KEYS}; choose a larger patch.",
            )
        if self.depth > MAX_DEPTH:
            self._refuse(f"depth is {self.depth}", f"Give at most {MAX_DEPTH} blocks.")
        hidden = self.embed_dim * self.mlp_ratio
        if hidden < 1 or abs(hidden - round(hidden)) > 1e-6:
            self._refuse(
                f"mlp_ratio {self.mlp_ratio} gives {hidden:g} hidden features",
                "Choose a ratio that gives a whole number.",
            )

    def _check_normalisation(self) -> None:
        for field, positive in (("mean", False), ("std", True)):
            values = getattr(self, field)
            good = isinstance(values, (tuple, list)) and len(values) == self.channels
            good = good and all(_is_positive(v) if positive else _is_finite(v) for v in values)
            if not good:
                self._refuse(
                    f"{field} is {values!r} for {self.channels} channels",
                    "Give one number per channel" + (", above 0." if positive else "."),
                )
            object.__setattr__(self, field, tuple(float(v) for v in values))

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image // self.patch

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return self.grid**2 + 1

    @property
    def head_dim(self) -> int:
        """Features of one head."""
        return self.embed_dim // self.heads

    @property
    def hidden(self) -> int:
        """Hidden features of the MLP."""
        return round(self.embed_dim * self.mlp_ratio)

    @property
    def patch_features(self) -> int:
        """Values in one patch: channel, row, column."""
        return self.channels * self.patch**2

    @property
    def pixel_limit(self) -> float:
        """Largest magnitude of a normalised pixel."""
        return max(
            max(abs(m), abs(1.0 - m)) / s for m, s in zip(self.mean, self.std, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a configuration file holds them."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_finite(value) and value > 0


def _deit(name: str, embed_dim: int, heads: int) -> VitConfig:
    return VitConfig(name, image=224, patch=16, embed_dim=embed_dim, depth=12, heads=heads)


_KNOWN = {
    # 8x8 grey digits (scikit-learn): small enough to train and verify on a laptop in a minute.
    "vit_digits": VitConfig(
        "vit_digits", image=8, patch=2, embed_dim=64, depth=4, heads=4, channels=1, classes=10,
        mlp_ratio=2.0, mean=(0.5,), std=(0.5,),
    ),
    "deit_t": _deit("deit_t", 192, 3),
    "deit_s": _deit("deit_s", 384, 6),
    "deit_b": _deit("deit_b", 768, 12),
}


def names() -> list[str]:
    """Names that :func:`config` knows."""
    return list(_KNOWN)


def config(name_or_path: str | Path) -> VitConfig:
    """The configuration of a named model, or of a JSON or TOML file with the fields of VitConfig.

    Raises
    ------
    VitgenError : an unknown name, an unreadable file, an unknown or missing key, a bad value.
    """
    text = str(name_or_path)
    if text in _KNOWN:
        return _KNOWN[text]
    path = Path(text)
    if path.suffix not in (".json", ".toml"):
        raise VitgenError(
            f"Unknown model {text!r}.",
            f"Known models: {', '.join(names())}; or give a .json or .toml file.",
        )
    return _from_values(_read(path), path)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise VitgenError(
            f"The model file {path} cannot be read: {error}.", "Give a valid JSON or TOML file."
        ) from error
    if not isinstance(values, dict):
        raise VitgenError(
            f"The model file {path} does not hold named values.", "Give one value per field."
        )
    return values


def _from_values(values: dict[str, Any], path: Path) -> VitConfig:
    fields = dataclasses.fields(VitConfig)
    known = [field.name for field in fields]
    for key in values:
        if key not in known:
            raise VitgenError(
                f"Unknown key {key!r} in {path}.", f"Known keys: {', '.join(known)}."
            )
    values = {"name": re.sub(r"[^A-Za-z0-9_]", "_", path.stem), **values}
    missing = [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise VitgenError(
            f"The model file {path} lacks {', '.join(missing)}.", "Add the missing keys."
        )
    return VitConfig(**values)

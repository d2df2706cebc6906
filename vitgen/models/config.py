"""Architectures: the named Vision Transformers and those described by a file. Free of torch."""

import dataclasses
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitgen.arith.layernorm import MAX_FEATURES
from vitgen.arith.softmax import MAX_KEYS
from vitgen.errors import VitgenError
from vitgen.models.keep import Keep, checked_keep

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
MAX_DEPTH = 64
SKIP_RANGE = (0.25, 64.0)
"""Least and greatest ``skip_lam``: what released networks have lies between 1 and 3."""


@dataclass(frozen=True)
class StemConv:
    """A convolution of a stem, without bias, followed by BatchNorm and ReLU.

    Parameters
    ----------
    channels : of its output.
    kernel : side of its window; the map is padded by ``(kernel - 1) // 2`` zeros on every side.
    stride : 1 or more.

    Raises
    ------
    VitgenError : a value that is no whole number of at least 1.
    """

    channels: int
    kernel: int
    stride: int = 1

    def __post_init__(self) -> None:
        for field in ("channels", "kernel", "stride"):
            if not _is_count(getattr(self, field)):
                raise VitgenError(
                    f"{field} of a convolution of the stem is {getattr(self, field)!r}.",
                    "Give a whole number of at least 1.",
                )

    @property
    def padding(self) -> int:
        """Zeros on every side of the map."""
        return (self.kernel - 1) // 2

    def side(self, side: int) -> int:
        """Side of the output for a map of this side."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class VitConfig:
    """Shape of a Vision Transformer with a class token and learned positions.

    Without a stem it is timm's ``vit`` and ``deit``. With one it is LV-ViT (Jiang et al., 2021): the
    image passes convolutions, and patches of what they give become tokens.

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
    qkv_bias : whether queries, keys and values have a bias.
    skip_lam : what attention and MLP of a block add to its input is divided by it, 0.25 to 64.
    stem : convolutions before the patch embedding, in order, as :class:`StemConv` or as mappings of
        its fields. Each divides the side of the map by its stride; the strides' product divides
        ``patch``, and the embedding's own window and stride are the quotient.
    keep : blocks before which tokens are pruned, with the mean share of the image's patches that goes
        on from there; pairs, or text as ``3:0.70,6:0.39,9:0.21``. Empty: an unpruned network.

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
    qkv_bias: bool = True
    skip_lam: float = 1.0
    stem: tuple[StemConv, ...] = ()
    keep: Keep = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.match(self.name):
            raise VitgenError(
                f"The model name {self.name!r} is not made of letters, digits and _.",
                "Choose a name such as my_vit.",
            )
        for field in ("image", "patch", "embed_dim", "depth", "heads", "channels", "classes"):
            value = getattr(self, field)
            if not _is_count(value):
                self._refuse(f"{field} is {value!r}", "Give a whole number of at least 1.")
        for field in ("mlp_ratio", "norm_eps"):
            if not _is_positive(getattr(self, field)):
                self._refuse(f"{field} is {getattr(self, field)!r}", "Give a number above 0.")
        if not isinstance(self.qkv_bias, bool):
            self._refuse(f"qkv_bias is {self.qkv_bias!r}", "Give true or false.")
        if not _is_finite(self.skip_lam) or not SKIP_RANGE[0] <= self.skip_lam <= SKIP_RANGE[1]:
            self._refuse(
                f"skip_lam is {self.skip_lam!r}",
                f"Give a number from {SKIP_RANGE[0]} to {SKIP_RANGE[1]:g}.",
            )
        self._check_shape()
        self._check_normalisation()
        self._check_stem()
        object.__setattr__(self, "keep", checked_keep(self.keep, self.depth))

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

    def _check_stem(self) -> None:
        if not isinstance(self.stem, (tuple, list)):
            self._refuse(f"stem is {self.stem!r}", "Give a list of convolutions.")
        object.__setattr__(self, "stem", tuple(self._convolution(c) for c in self.stem))
        side = self.image
        for number, conv in enumerate(self.stem, 1):
            name = f"convolution {number} of the stem"
            if conv.kernel > side:
                self._refuse(
                    f"{name} has a kernel of {conv.kernel} on a map of {side} x {side}",
                    "Choose a smaller kernel.",
                )
            if side % conv.stride or conv.side(side) != side // conv.stride:
                self._refuse(
                    f"{name}, kernel {conv.kernel} and stride {conv.stride}, makes a map of "
                    f"{conv.side(side)} from one of {side}",
                    "Its stride divides the map; with stride 1 its kernel is odd.",
                )
            side = conv.side(side)
        if self.patch % self.stem_stride:
            self._refuse(
                f"the stem's strides make {self.stem_stride}, which does not divide the patch of "
                f"{self.patch}",
                "Choose strides whose product divides the patch.",
            )

    def _convolution(self, given: Any) -> StemConv:
        if isinstance(given, StemConv):
            return given
        fields = {field.name for field in dataclasses.fields(StemConv)}
        if not isinstance(given, Mapping) or not {"channels", "kernel"} <= set(given) <= fields:
            self._refuse(
                f"a convolution of the stem is {given!r}", "Give channels, kernel and stride."
            )
        return StemConv(**given)

    @property
    def stem_stride(self) -> int:
        """Side of the image over the side of the map that the patch embedding reads."""
        return math.prod(conv.stride for conv in self.stem)

    @property
    def window(self) -> int:
        """Side and stride of the patch embedding's window on the map that it reads."""
        return self.patch // self.stem_stride

    @property
    def maps(self) -> list[tuple[int, int]]:
        """Side and channels of the image and of what each convolution of the stem makes of it."""
        maps = [(self.image, self.channels)]
        for conv in self.stem:
            maps.append((conv.side(maps[-1][0]), conv.channels))
        return maps

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
        """Values that the patch embedding makes a token of."""
        return self.maps[-1][1] * self.window**2

    @property
    def kept(self) -> dict[int, float]:
        """Keep rates by block."""
        return dict(self.keep)

    @property
    def selector_widths(self) -> tuple[int, int, int]:
        """Features of a head behind the first and the second linear layer of a token selector, and
        hidden features of its head-importance branch."""
        return max(1, self.head_dim // 2), max(1, self.head_dim // 4), -(-self.heads // 2)

    @property
    def pixel_limit(self) -> float:
        """Largest magnitude of a normalised pixel."""
        return max(
            max(abs(m), abs(1.0 - m)) / s for m, s in zip(self.mean, self.std, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a configuration file holds them."""
        values = dataclasses.asdict(self)
        values["keep"] = [list(pair) for pair in self.keep]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_finite(value) and value > 0


def _deit(name: str, embed_dim: int, heads: int) -> VitConfig:
    return VitConfig(name, image=224, patch=16, embed_dim=embed_dim, depth=12, heads=heads)


def _lvvit(name: str, embed_dim: int, depth: int, heads: int) -> VitConfig:
    return VitConfig(
        name, image=224, patch=16, embed_dim=embed_dim, depth=depth, heads=heads, mlp_ratio=3.0,
        norm_eps=1e-5, qkv_bias=False, skip_lam=2.0,
        stem=(StemConv(64, 7, 2), StemConv(64, 3), StemConv(64, 3)),
    )


_KNOWN = {
    # 8x8 grey digits (scikit-learn): small enough to train and verify on a laptop in a minute.
    "vit_digits": VitConfig(
        "vit_digits", image=8, patch=2, embed_dim=64, depth=4, heads=4, channels=1, classes=10,
        mlp_ratio=2.0, mean=(0.5,), std=(0.5,),
    ),
    # The same digits at random places of a noisy canvas, where most patches are of no use.
    "vit_canvas": VitConfig(
        "vit_canvas", image=24, patch=4, embed_dim=48, depth=4, heads=4, channels=1, classes=10,
        mlp_ratio=2.0, mean=(0.5,), std=(0.5,), stem=(StemConv(16, 3, 2), StemConv(32, 3)),
    ),
    "deit_t": _deit("deit_t", 192, 3),
    "deit_s": _deit("deit_s", 384, 6),
    "deit_b": _deit("deit_b", 768, 12),
    "lvvit_s": _lvvit("lvvit_s", 384, 16, 6),
    "lvvit_m": _lvvit("lvvit_m", 512, 20, 8),
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

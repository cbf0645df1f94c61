"""Image to tensor, as the contract says: used by serving and by training alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from artifact import ImageInput
from transformer.classification.polarity import Polarity, find_polarity, polarities_of

FULL = {"black": 0, "white": 255}

MARGIN = 4
"""Times the contract's size that a large picture keeps until it is resampled for good."""

MIN_CONTRAST = 16
"""Intensities between subject and surroundings below which a picture is taken to be empty."""


class Prepared(NamedTuple):
    """One instance ready for the network.

    Attributes:
        tensor: ``(channels, height, width)`` float32, normalised.
        polarity: what the picture had; None for a colour contract, which has none.
    """

    tensor: NDArray[np.float32]
    polarity: Polarity | None


def prepare(image: Image.Image, spec: ImageInput, polarity: Polarity = Polarity.AUTO) -> Prepared:
    """Fit a decoded picture to the contract's input.

    Transparency is composited, the aspect is kept, the rest is padded with the background. Grey
    paper and faint ink are stretched to the full range where the picture has to be resized
    anyway. A picture that has the contract's size and mode already comes through bit for bit as
    torchvision's ``ToTensor`` and ``Normalize`` would give it.

    Args:
        image: any mode of Pillow's, upright.
        polarity: forced, or ``AUTO`` to find it; ignored where the contract is in colour.
    """
    image = _to_eight_bit(_shrink(image, spec))
    if _has_alpha(image):
        image = _flatten(image.convert("RGBA"))
    if image.mode not in ("1", "L", "RGB", "CMYK", "YCbCr"):
        image = image.convert("RGB")  # what every mode converts to; not every one does to L
    if image.mode != spec.mode:
        image = image.convert(spec.mode)
    found = None
    if spec.mode == "L":
        found = polarity
        if found is Polarity.AUTO:
            found = find_polarity(image, spec.width, spec.height)
        if found is not wanted_polarity(spec):
            image = ImageChops.invert(image)
    if image.size != (spec.width, spec.height):
        image = _fit(_stretch(image) if spec.mode == "L" else image, spec)
    return Prepared(to_tensor(np.asarray(image), spec), found)


class GreyTable:
    """``prepare`` for pictures that have a grey contract's size and mode already.

    Normalisation depends on the intensity alone, so all 256 answers of ``to_tensor`` are made
    once: the same to the last bit, in a fifth of the time.
    """

    def __init__(self, spec: ImageInput) -> None:
        assert spec.mode == "L"
        self._spec = spec
        self._wanted = wanted_polarity(spec)
        self._table = to_tensor(np.arange(256, dtype=np.uint8)[np.newaxis], spec).ravel()

    def prepare(
        self, pictures: Sequence[bytes], polarities: Sequence[Polarity]
    ) -> tuple[NDArray[np.float32], list[Polarity]]:
        """Tensors ``(n, 1, height, width)`` and the polarity that each picture had.

        Args:
            pictures: ``height * width`` intensities each, row by row.
            polarities: forced, or ``AUTO`` to find them.
        """
        spec = self._spec
        pixels = np.frombuffer(b"".join(pictures), np.uint8).reshape(len(pictures), -1)
        seen = polarities_of(pixels, spec.width, spec.height)
        found = [
            was if asked is Polarity.AUTO else asked
            for asked, was in zip(polarities, seen, strict=True)
        ]
        inverted = [0 if polarity is self._wanted else 255 for polarity in found]
        pixels = pixels ^ np.array(inverted, np.uint8)[:, np.newaxis]
        return self._table.take(pixels).reshape(len(pictures), *spec.shape), found


def wanted_polarity(spec: ImageInput) -> Polarity:
    """The polarity that a grey contract's network was trained on."""
    return Polarity.DARK_ON_LIGHT if spec.background == "white" else Polarity.LIGHT_ON_DARK


def to_tensor(pixels: NDArray[np.uint8], spec: ImageInput) -> NDArray[np.float32]:
    """``(h, w)`` or ``(h, w, 3)`` bytes to ``(channels, h, w)`` normalised float32.

    The order of operations is torchvision's (divide by 255, subtract, divide, all in float32),
    which is what makes the result the same to the last bit.
    """
    planes = pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    mean = np.asarray(spec.mean, np.float32)[:, np.newaxis, np.newaxis]
    std = np.asarray(spec.std, np.float32)[:, np.newaxis, np.newaxis]
    tensor: NDArray[np.float32] = np.ascontiguousarray(planes, np.float32)
    tensor = tensor / np.float32(255)
    tensor -= mean
    tensor /= std
    return tensor


def _shrink(image: Image.Image, spec: ImageInput) -> Image.Image:
    """Average blocks of a large picture down to about four times the size that is needed.

    Everything after it then costs what the contract's size costs, not the picture's.
    """
    factor = min(image.width // (MARGIN * spec.width), image.height // (MARGIN * spec.height))
    if factor < 2:
        return image
    if image.mode.startswith("I;16"):
        # Pillow cannot average this mode; every n-th pixel of a 16-bit scan does as well.
        size = (image.width // factor, image.height // factor)
        return image.resize(size, Image.Resampling.NEAREST)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.reduce(factor)


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float intensities to 0..255; Pillow would clip them."""
    if image.mode not in ("I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
        return image
    values = np.asarray(image).astype(np.float32)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    # A float picture is in units of full intensity unless it says otherwise by exceeding 1.
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else top
    elif image.mode == "I":
        full = 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    else:
        full = 65535.0
    return Image.fromarray(np.clip(values * (255.0 / full) + 0.5, 0, 255).astype(np.uint8))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _flatten(image: Image.Image) -> Image.Image:
    """Composite over black or white, whichever the visible part stands out from."""
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    small = image.reduce(max(1, min(image.size) // 64))
    alpha = np.asarray(small.getchannel("A"), np.float32)
    light = np.asarray(small.convert("RGB").convert("L"), np.float32)
    visible = float(alpha.sum())
    level = 0 if visible == 0 or float((light * alpha).sum()) / visible > 127 else 255
    ground = Image.new("RGBA", image.size, (level, level, level, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _stretch(image: Image.Image) -> Image.Image:
    """Bring the surroundings (the frame's median) and the far end of the range to 0 and 255.

    Else padding would show as an edge around a picture whose paper is not quite white.
    """
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    frame = np.concatenate([small[0], small[-1], small[1:-1, 0], small[1:-1, -1]])
    ground = float(np.median(frame))
    dark_ground = ground <= (float(small.min()) + float(small.max())) / 2
    low_end, high_end = cast("tuple[int, int]", image.getextrema())
    far = float(high_end if dark_ground else low_end)
    if abs(far - ground) < MIN_CONTRAST:
        return image
    low, high = (ground, far) if dark_ground else (far, ground)
    scale = 255.0 / (high - low)
    return image.point([min(255, max(0, round((v - low) * scale))) for v in range(256)])


def _fit(image: Image.Image, spec: ImageInput) -> Image.Image:
    scale = min(spec.width / image.width, spec.height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if size != image.size:
        # A box first, at twice the size, is several times faster on photographs and changes
        # nothing that a 28-pixel tensor can show.
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if size == (spec.width, spec.height):
        return image
    ground = FULL[spec.background]
    canvas = Image.new(spec.mode, (spec.width, spec.height), (ground,) * len(image.getbands()))
    canvas.paste(image, ((spec.width - size[0]) // 2, (spec.height - size[1]) // 2))
    return canvas

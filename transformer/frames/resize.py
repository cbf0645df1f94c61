"""Resized and cut out of the middle, pixel for pixel as the network's own preprocessing does."""

from __future__ import annotations

from PIL import Image

from artifact import ImageInput, Resize

FILTERS = {filter_.name.lower(): filter_ for filter_ in Image.Resampling}


class ResizeFraming:
    """Every pixel of the picture counts, so that the result is that of the source's pipeline.

    Pillow's filters are those of torchvision, timm and Hugging Face on Pillow's images. Decoding
    a JPEG at a part of its size, or averaging blocks first, would be faster on large photographs
    and differ by several levels.
    """

    enough: tuple[int, int] | None = None

    def __init__(self, spec: ImageInput) -> None:
        assert isinstance(spec.frame, Resize)
        self._frame = spec.frame
        self._filter = FILTERS[spec.frame.interpolation]
        self._size = (spec.width, spec.height)

    def shrink(self, image: Image.Image) -> Image.Image:
        return image

    def bring(self, image: Image.Image) -> Image.Image:
        frame = self._frame
        height, width = frame.resize.of(image.height, image.width)
        if (width, height) != image.size:
            if frame.antialias or self._filter is Image.Resampling.NEAREST:
                image = image.resize((width, height), self._filter)
            else:
                image = _interpolated(image, (width, height))
        return self._cut(image)

    def _cut(self, image: Image.Image) -> Image.Image:
        """The middle of a picture; where it is smaller, the picture in the middle."""
        if image.size == self._size:
            return image
        left, top = (
            start_of(self._frame, length, wanted)
            for length, wanted in zip(image.size, self._size, strict=True)
        )
        width, height = self._size
        if image.width >= width and image.height >= height:
            return image.crop((left, top, left + width, top + height))
        fill = self._frame.fill or (0,) * len(image.getbands())
        canvas = Image.new(image.mode, self._size, fill)
        canvas.paste(image, (-left, -top))
        return canvas


def start_of(frame: Resize, length: int, wanted: int) -> int:
    """Where in a resized side the cut-out begins; below 0 where it is the longer one."""
    if wanted > length:
        return -((wanted - length) // 2)
    if frame.crop_rounding == "down":
        return (length - wanted) // 2
    return round((length - wanted) / 2)


def _interpolated(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bilinear between the four nearest pixels, however many others lie between two samples.

    In floats, since Pillow cuts bytes off here instead of rounding them.
    """
    extent, method = (0, 0, *image.size), Image.Resampling.BILINEAR
    bands = [
        band.convert("F")
        .transform(size, Image.Transform.EXTENT, extent, method)
        .point(lambda level: level + 0.5)
        .convert("L")
        for band in image.split()
    ]
    return Image.merge(image.mode, bands)

"""A subject laid somewhere, lit and photographed."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


class Photograph(NamedTuple):
    """An encoded picture, and where in it the subject is.

    Attributes:
        data: a JPEG or PNG.
        box: of the subject.
        share: longest side of the box in the frame's shorter side.
    """

    data: bytes
    box: Box
    share: float


@dataclass(frozen=True)
class View:
    """Where the camera stands: what a subject's picture becomes in the frame.

    Attributes:
        size: width and height of the frame.
        box: of the subject in it.
        coefficients: Pillow's, from the frame's points to the subject's picture.
    """

    size: tuple[int, int]
    box: Box
    coefficients: tuple[float, ...]

    def project(self, picture: Image.Image) -> Image.Image:
        """The picture in the frame, black around it."""
        return picture.transform(
            self.size,
            Image.Transform.PERSPECTIVE,
            self.coefficients,
            Image.Resampling.BILINEAR,
        )


def choose_view(
    random: np.random.Generator,
    inner: Box,
    share: float,
    degrees: float,
    tilt: float,
    sides: tuple[int, int] = (320, 720),
) -> View:
    """Somewhere in the frame, turned and seen at an angle.

    Args:
        inner: the subject's box in its own picture.
        share: longest side of its box in the frame's shorter side.
        degrees: largest rotation.
        tilt: largest move of a corner, as a share of the box's longest side.
        sides: least and largest shorter side of the frame.
    """
    short = int(random.integers(*sides))
    size = [short, int(short * random.uniform(1, 4 / 3))]
    random.shuffle(size)
    left, top, right, bottom = inner
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    angle = np.radians(random.uniform(-degrees, degrees))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    longest = max(right - left, bottom - top)
    placed = (corners - corners.mean(axis=0)) @ turn.T
    placed += random.uniform(-tilt, tilt, (4, 2)) * longest
    placed -= placed.min(axis=0)
    placed *= share * short / placed.max()
    room = np.array(size) - placed.max(axis=0)
    placed += random.uniform(0.03, 0.97, 2) * room
    box = (*placed.min(axis=0).tolist(), *placed.max(axis=0).tolist())
    return View((size[0], size[1]), box, _coefficients(placed, corners))


def light(random: np.random.Generator, size: tuple[int, int], depth: float) -> Grey:
    """How brightly each point of the frame is lit, 0 to 1.

    A slope, a lamp's spot, and in one of three pictures the soft edge of a shadow.

    Args:
        depth: largest share that the darkest point loses.
    """
    width, height = size
    y, x = np.mgrid[0:48, 0:48].astype(np.float32) / 47 - 0.5
    angle = random.uniform(0, 2 * np.pi)
    field = random.uniform(0, 1) * (x * np.cos(angle) + y * np.sin(angle))
    centre = random.uniform(-0.6, 0.6, 2)
    field = field - random.uniform(0, 1) * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    if random.random() < 1 / 3:
        angle, offset = random.uniform(0, 2 * np.pi), random.uniform(-0.3, 0.3)
        edge = (x * np.cos(angle) + y * np.sin(angle) - offset) / random.uniform(0.03, 0.2)
        field = field + random.uniform(0.2, 0.6) / (1 + np.exp(-np.clip(edge, -30, 30)))
    field -= field.min()
    field = 1 - random.uniform(0.05, depth) * (1 - field / max(float(field.max()), 1e-6))
    smooth = Image.fromarray(field.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return np.asarray(smooth, np.float32)


def texture(random: np.random.Generator, size: tuple[int, int], depth: float) -> Grey:
    """Fibres and cloudiness of paper or cloth, around 1."""
    width, height = size
    fine = random.standard_normal((height // 2, width // 2), np.float32)
    coarse = random.standard_normal((height // 24 + 2, width // 24 + 2), np.float32)
    found = np.ones((height, width), np.float32)
    for noise, share in ((fine, 1.0), (coarse, 0.5)):
        stretched = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
        found += depth * share * np.asarray(stretched)
    return found


def expose(
    random: np.random.Generator,
    scene: Grey,
    tints: list[tuple[Grey | float, tuple[float, float, float]]],
    blur: float,
    grain: float,
) -> Image.Image:
    """What a camera makes of a scene: colours, blur and grain.

    Args:
        scene: ``(h, w)`` luminance, 0 to 1.
        tints: how much of each point has which colour; a colour's channels are around 1.
        blur: standard deviation in pixels.
        grain: standard deviation, 1 being full intensity.
    """
    planes = []
    luminance_noise = random.standard_normal(scene.shape, np.float32)
    for channel in range(3):
        plane = scene * sum(share * colour[channel] for share, colour in tints)
        picture = Image.fromarray((np.clip(plane, 0, 1) * 255).astype(np.uint8))
        if blur > 0:
            picture = picture.filter(ImageFilter.GaussianBlur(blur))
        noisy = np.asarray(picture, np.float32) + 255 * grain * luminance_noise
        planes.append(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
    return Image.fromarray(np.stack(planes, axis=2))


def encode(picture: Image.Image, quality: int | None) -> bytes:
    """A JPEG of that quality, or a PNG."""
    buffer = io.BytesIO()
    if quality is None:
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _coefficients(frame: NDArray[np.float64], picture: NDArray[np.float64]) -> tuple[float, ...]:
    """Of the perspective that takes four points of the frame to four of the picture."""
    rows, values = [], []
    for (x, y), (u, v) in zip(frame.tolist(), picture.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(values)).tolist())

"""Draws ``aerial.tif`` beside this file: ``python samples/draw_aerial.py``.

A place that does not exist, as seen from above in the hard light of a desert: sand, a road and a
street of houses, a park around a pond. It is not taken from any data set. The file is a GeoTIFF as
surveyors send them: JPEG inside, half a metre a pixel, in UTM zone 40 north.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter
from PIL.TiffImagePlugin import ImageFileDirectory_v2

HERE = Path(__file__).parent
WIDTH, HEIGHT = 768, 576
SCALE = 2
METRES = 0.5
EAST, NORTH = 320_000.0, 2_780_000.0
EPSG = 32640

SAND, GRASS, TREES = (196, 198, 206), (84, 90, 72), (44, 50, 42)
WATER, ASPHALT, KERB, LINE = (12, 18, 16), (74, 68, 70), (150, 146, 148), (190, 188, 188)
ROOFS = ((236, 236, 238), (222, 222, 226), (206, 204, 206), (120, 108, 104), (150, 148, 150))
SHADOW = (24, 24, 28)

Point = tuple[float, float]
Colour = tuple[int, int, int]


class Sheet:
    """A picture drawn ``SCALE`` times as large, in pixels of the small one."""

    def __init__(self) -> None:
        self.random = random.Random(4)  # noqa: S311
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), SAND)
        self._draw = ImageDraw.Draw(self.image)

    def area(self, points: list[Point], colour: Colour) -> None:
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=colour)

    def line(self, points: list[Point], width: float, colour: Colour) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, colour, round(width * SCALE), joint="curve")

    def spot(self, centre: Point, radius: float, colour: Colour) -> None:
        (x, y), r = centre, radius
        self._draw.ellipse([v * SCALE for v in (x - r, y - r, x + r, y + r)], colour)

    def tree(self, centre: Point) -> None:
        radius = self.random.uniform(2, 5)
        shade = self.random.uniform(0.7, 1.3)
        self.spot((centre[0] + radius / 2, centre[1] + radius / 2), radius, SHADOW)
        self.spot(centre, radius, tuple(round(v * shade) for v in TREES))  # type: ignore[arg-type]


def blob(centre: Point, radius: float, squeeze: float, waves: tuple[float, ...]) -> list[Point]:
    """A closed line that wobbles around an ellipse; ``waves`` are its amplitudes."""
    points = []
    for step in range(120):
        angle = 2 * math.pi * step / 120
        wobble = sum(a * math.sin((i + 2) * angle + 1.7 * i) for i, a in enumerate(waves))
        r = radius * (1 + wobble)
        x, y = r * math.cos(angle), squeeze * r * math.sin(angle)
        points.append((centre[0] + x, centre[1] + y))
    return points


def road_at(x: float, height: float) -> Point:
    """A point of a gently curved way from the left border to the right one."""
    return x, height + 34 * math.sin(x / 210) - 0.06 * x


def house(sheet: Sheet, centre: Point, slope: float) -> None:
    """Two or three boxes with flat roofs, each with its shadow, and a yard of trees."""
    pick = sheet.random
    cos, sin = math.cos(slope), math.sin(slope)
    for _ in range(pick.randint(2, 3)):
        dx, dy = pick.uniform(-7, 7), pick.uniform(-9, 9)
        w, h = pick.uniform(7, 12), pick.uniform(7, 13)
        corners = [(dx - w, dy - h), (dx + w, dy - h), (dx + w, dy + h), (dx - w, dy + h)]
        turned = [
            (centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in corners
        ]
        sheet.area([(x + 4, y + 4) for x, y in turned], SHADOW)
        sheet.area(turned, pick.choice(ROOFS))
        sheet.spot((centre[0] + dx, centre[1] + dy), 1.5, KERB)
    for side in (-1, 1):
        sheet.tree((centre[0] + side * 19 * cos, centre[1] + side * 19 * sin))


def draw() -> Image.Image:
    sheet = Sheet()
    pick = sheet.random
    sheet.area(blob((250, 440), 250, 0.5, (0.08, 0.06, 0.04)), GRASS)
    for _ in range(260):
        angle, far = pick.uniform(0, 2 * math.pi), pick.uniform(0.5, 0.95)
        sheet.tree((250 + 250 * far * math.cos(angle), 440 + 120 * far * math.sin(angle)))
    sheet.area(blob((240, 445), 112, 0.55, (0.12, 0.1, 0.05)), KERB)
    sheet.area(blob((240, 445), 108, 0.55, (0.12, 0.1, 0.05)), WATER)
    for height, width in ((262, 40), (130, 18)):
        way = [road_at(x, height) for x in range(-20, WIDTH + 40, 10)]
        sheet.line(way, width + 5, KERB)
        sheet.line(way, width, ASPHALT)
        for x in range(-20, WIDTH, 16):
            sheet.line([road_at(x, height), road_at(x + 7, height)], 1.2, LINE)
    for row in (-36, 36):
        for x in range(26, WIDTH, 46):
            here, there = road_at(x, 130 + row), road_at(x + 10, 130 + row)
            house(sheet, here, math.atan2(there[1] - here[1], 10))
    for x in range(540, WIDTH, 58):
        for y in (350, 410, 470):
            house(sheet, (x + pick.uniform(-4, 4), y + pick.uniform(-4, 4)), 0.1)
    small = sheet.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return textured(small.filter(ImageFilter.GaussianBlur(0.6)), pick)


def textured(image: Image.Image, pick: random.Random) -> Image.Image:
    """Brightness that varies over all distances, as that of the ground does."""
    for size, strength in ((12, 0.16), (48, 0.12), (192, 0.12), (WIDTH, 0.1)):
        height = size * HEIGHT // WIDTH
        levels = bytes(
            round(128 + 127 * strength * pick.uniform(-1, 1)) for _ in range(size * height)
        )
        noise = Image.frombytes("L", (size, height), levels)
        noise = noise.resize(image.size, Image.Resampling.BICUBIC)
        doubled = ImageChops.multiply(image, Image.merge("RGB", [noise] * 3))
        image = ImageChops.add(doubled, doubled)
    return image


def geography() -> ImageFileDirectory_v2:
    """The tags of a GeoTIFF (OGC 19-008r4): pixel scale, tie point, and the CRS by its number."""
    tags = ImageFileDirectory_v2()
    for code, kind, values in (
        (33550, 12, (METRES, METRES, 0.0)),
        (33922, 12, (0.0, 0.0, 0.0, EAST, NORTH, 0.0)),
        (34735, 3, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, EPSG)),
    ):
        tags.tagtype[code] = kind
        tags[code] = values
    return tags


def main() -> None:
    path = HERE / "aerial.tif"
    draw().save(path, compression="jpeg", quality=88, tiffinfo=geography())


if __name__ == "__main__":
    main()

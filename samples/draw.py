"""Draws the sample pictures beside this file: ``python samples/draw.py``.

They are not taken from any data set. Each is in a form that people really send: ink on paper, a
product on white, a phone's JPEG, transparent PNG.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
SCALE = 4

Points = list[tuple[float, float]]


def canvas(size: int, colour: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (size * SCALE, size * SCALE), colour)
    return image, ImageDraw.Draw(image)


def finish(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.LANCZOS)


def stroke(draw: ImageDraw.ImageDraw, points: Points, width: float, colour: str) -> None:
    """A round pen along straight pieces."""
    scaled = [(x * SCALE, y * SCALE) for x, y in points]
    draw.line(scaled, fill=colour, width=round(width * SCALE), joint="curve")
    radius = width * SCALE / 2
    for x, y in scaled:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def arc(
    x: float, y: float, radius: float, start: float, end: float, squeeze: float = 1.0
) -> Points:
    """Points of an arc; angles in degrees, clockwise from the right."""
    steps = 40
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(x + radius * math.cos(a), y + radius * squeeze * math.sin(a)) for a in angles]


def polygon(draw: ImageDraw.ImageDraw, points: Points, colour: str) -> None:
    draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=colour)


def seven() -> Image.Image:
    """Blue ink on white paper."""
    image, draw = canvas(280, "#fbfaf6")
    stroke(draw, [(75, 70), (205, 66), (130, 222)], 20, "#1d2f6f")
    return finish(image, 280)


def three() -> Image.Image:
    """Chalk on a slate, landscape."""
    image, draw = canvas(280, "#1c2422")
    stroke(draw, arc(135, 98, 42, 200, 430), 18, "#f4f4ee")
    stroke(draw, arc(135, 180, 46, -70, 160), 18, "#f4f4ee")
    image = finish(image, 280).filter(ImageFilter.GaussianBlur(0.8))
    wide = Image.new("RGB", (400, 280), "#1c2422")
    wide.paste(image, (60, 0))
    return wide


def shirt() -> Image.Image:
    """A short-sleeved, striped, buttoned shirt on white."""
    image, draw = canvas(280, "#ffffff")
    cloth, stripe, seam = "#b9b9bc", "#f5f5f6", "#7d7d82"
    polygon(draw, [(104, 34), (176, 34), (206, 56), (202, 262), (78, 262), (74, 56)], cloth)
    polygon(draw, [(104, 34), (74, 54), (40, 118), (66, 136), (86, 100)], cloth)
    polygon(draw, [(176, 34), (206, 54), (240, 118), (214, 136), (194, 100)], cloth)
    for x in range(82, 202, 12):
        stroke(draw, [(x, 60), (x, 258)], 3, stripe)
    polygon(draw, [(116, 28), (164, 28), (140, 70)], "#ffffff")
    polygon(draw, [(104, 32), (118, 22), (140, 70), (124, 84)], "#87878a")
    polygon(draw, [(176, 32), (162, 22), (140, 70), (156, 84)], "#87878a")
    stroke(draw, [(140, 72), (140, 262)], 3, seam)
    return finish(image, 280)


def trouser() -> Image.Image:
    """Trousers on white, portrait."""
    image, draw = canvas(280, "#ffffff")
    polygon(draw, [(98, 14), (182, 14), (190, 70), (196, 268), (152, 268), (141, 92), (139, 92),
                   (128, 268), (84, 268), (90, 70)], "#2f4a7a")  # fmt: skip
    stroke(draw, [(98, 22), (182, 22)], 5, "#1b2c4c")
    return finish(image, 280).crop((60, 0, 220, 280))


def ankle_boot() -> Image.Image:
    """A boot, cut out: transparent around it."""
    image, draw = canvas(280, "#000000")
    polygon(draw, [(150, 48), (236, 44), (240, 170), (244, 226), (210, 226), (206, 212),
                   (120, 222), (34, 226), (30, 200), (62, 178), (118, 160), (142, 130)],
            "#9b6a3c")  # fmt: skip
    polygon(draw, [(30, 214), (120, 216), (206, 206), (244, 214), (244, 232), (208, 232),
                   (204, 222), (120, 232), (30, 232)], "#5a3b1f")  # fmt: skip
    stroke(draw, [(158, 70), (228, 66)], 5, "#7a5230")
    image = finish(image, 280).convert("RGBA")
    alpha = image.convert("L").point(lambda level: 255 if level > 20 else 0)
    image.putalpha(alpha)
    return image


def main() -> None:
    seven().save(HERE / "seven.png", optimize=True)
    three().save(HERE / "three.jpg", quality=88)
    shirt().save(HERE / "shirt.png", optimize=True)
    trouser().save(HERE / "trouser.webp", quality=85)
    ankle_boot().save(HERE / "ankle-boot.png", optimize=True)


if __name__ == "__main__":
    main()

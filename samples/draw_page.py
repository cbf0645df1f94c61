"""Draws the pictures to click on the page: ``python -m samples.draw_page``.

A file is called after the labels that are seen in it, which is how the page finds the model that
it is for. They are not taken from any data set.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageFilter

from samples import draw, draw_aerial

FOLDER = Path(__file__).parent.parent / "console" / "static" / "samples"
VIEWS = {
    "water+vegetation": (60, 330, 444, 576),
    "building+road": (330, 60, 714, 306),
    "land+road": (300, 190, 684, 436),
}
"""Parts of the aerial picture, in its pixels."""


def two() -> Image.Image:
    """Pencil on grey paper."""
    image, pen = draw.canvas(280, "#c9c6bf")
    draw.stroke(pen, draw.arc(138, 108, 50, 190, 390), 15, "#3b3b40")
    draw.stroke(pen, [(181, 133), (92, 214), (192, 212)], 15, "#3b3b40")
    return draw.finish(image, 280).filter(ImageFilter.GaussianBlur(0.7))


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw.seven().save(FOLDER / "7.png", optimize=True)
    draw.three().crop((60, 0, 340, 280)).save(FOLDER / "3.jpg", quality=88)
    two().save(FOLDER / "2.jpg", quality=88)
    draw.shirt().save(FOLDER / "shirt.png", optimize=True)
    draw.trouser().save(FOLDER / "trouser.webp", quality=85)
    draw.ankle_boot().save(FOLDER / "ankle-boot.png", optimize=True)
    aerial = draw_aerial.draw()
    for name, view in VIEWS.items():
        aerial.crop(view).save(FOLDER / f"{name}.jpg", quality=88)


if __name__ == "__main__":
    main()

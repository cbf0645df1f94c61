"""The page of ``make monitor`` as a picture, by headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from PIL import Image, ImageChops

from common.errors import StartError

WIDTH, HEIGHT = 1240, 8400
DRAWING_MS = 8000
MARGIN, COLOURS = 16, 64


def screenshot(url: str, path: Path) -> None:
    """
    Raises:
        StartError: Chromium is not installed, or draws nothing.
    """
    program = shutil.which("chromium")
    if program is None:
        raise StartError("chromium is not installed: apt install chromium")
    path.unlink(missing_ok=True)
    command = [
        *(program, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
        *("--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"),
        *(f"--virtual-time-budget={DRAWING_MS}", f"--screenshot={path}", url),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if not path.exists():
        raise StartError(f"chromium drew nothing: {done.stderr[-300:]}")
    _cut(path)


def _cut(path: Path) -> None:
    """Leave what is below the page away."""
    image = Image.open(path).convert("RGB")
    blank = Image.new("RGB", image.size, image.getpixel((0, HEIGHT - 1)))
    if (box := ImageChops.difference(image, blank).getbbox()) is not None:
        image.crop((0, 0, WIDTH, box[3] + MARGIN)).quantize(COLOURS).save(path, optimize=True)

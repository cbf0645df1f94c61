"""The page of ``make monitor`` as a picture, by headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from common.errors import StartError

WIDTH, HEIGHT = 1240, 4400
DRAWING_MS = 8000


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

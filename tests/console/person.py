"""Somebody at a browser: headless Chromium, driven by selenium, looked at by axe."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from selenium_axe_python import Axe

SECONDS = 30
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
WIDTHS = {"phone": 390, "laptop": 1280, "wide": 1920}
SCHEMES = ("light", "dark")
SEVEN = ((-20, -80), (20, -80), (60, -80), (40, -30), (15, 20), (-5, 60), (-15, 90))


def reduced(picture: Image.Image) -> Image.Image:
    """To 256 colours, so that many may be kept: most for large areas, some for small ones."""
    large = picture.quantize(192, Image.Quantize.MEDIANCUT).getpalette() or []
    small = picture.quantize(64, Image.Quantize.FASTOCTREE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(large + small)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


class Person:
    """Clicks, types and looks.

    Attributes:
        clicks: how many times something was clicked.
    """

    def __init__(self, driver: webdriver.Chrome, site: str, folder: Path | None) -> None:
        self.driver = driver
        self.site = site
        self.clicks = 0
        self._folder = folder

    def go(self, path: str) -> None:
        self.driver.get(self.site + path)

    def type(self, name: str, text: str) -> None:
        field = self.driver.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)

    def click(self, css: str) -> None:
        """Of what is seen, once it is there."""
        self.wait(lambda d: d.find_element(By.CSS_SELECTOR, css).is_displayed())
        self.driver.find_element(By.CSS_SELECTOR, css).click()
        self.clicks += 1

    def press(self, label: str) -> None:
        """And wait for the page that it leads to."""
        self.driver.execute_script("window.leaving = false")
        self.driver.find_element(
            By.XPATH, f"//main//*[self::button or self::a][normalize-space()='{label}']"
        ).click()
        self.clicks += 1
        self.wait_for_page()

    def wait_for_page(self) -> None:
        """After ``window.leaving`` was set on the one before."""
        self.wait(
            lambda d: d.execute_script(
                "return window.leaving === undefined && document.readyState === 'complete'"
            )
        )

    def text(self, css: str) -> str:
        """Of an element, once it is seen and has some."""
        return str(self.wait(lambda d: d.find_element(By.CSS_SELECTOR, css).text))

    def texts(self, css: str) -> list[str]:
        return [found.text for found in self.driver.find_elements(By.CSS_SELECTOR, css)]

    def wait(self, condition: Callable[[webdriver.Chrome], Any]) -> Any:
        # Between two pages Chromium fails in many ways.
        wait = WebDriverWait(self.driver, SECONDS, 0.1, ignored_exceptions=[WebDriverException])
        return wait.until(condition)

    def draw(
        self, points: tuple[tuple[int, int], ...] = SEVEN, start: tuple[int, int] = (-60, -80)
    ) -> None:
        """A line, in pixels from the middle of the drawing area."""
        canvas = self.driver.find_element(By.ID, "canvas")
        actions = ActionChains(self.driver, duration=20)
        actions.move_to_element_with_offset(canvas, *start).click_and_hold()
        for x, y in points:
            actions.move_to_element_with_offset(canvas, x, y)
        actions.release().perform()

    def look(self, name: str) -> None:
        """At the page in both schemes and three widths: by axe, and for what is cut off. A picture
        of each is kept where there is a folder for them.
        """
        for scheme in SCHEMES:
            feature = {"name": "prefers-color-scheme", "value": scheme}
            self._devtools("Emulation.setEmulatedMedia", features=[feature])
            for device, width in WIDTHS.items():
                self._size(width, 900)
                seen = self.driver.execute_script(
                    "const e = document.documentElement; return [e.scrollWidth, e.scrollHeight]"
                )
                assert seen[0] <= width, f"{name} is {seen[0]} pixels wide at {width}"
                if device != "wide":
                    self._accessible(f"{name}, {scheme}, {width} pixels wide")
                if self._folder is not None:
                    self._size(width, seen[1])
                    picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png()))
                    path = self._folder / f"{name}-{device}-{scheme}.png"
                    reduced(picture.convert("RGB")).save(path, optimize=True)
        self._devtools("Emulation.clearDeviceMetricsOverride")
        self._devtools("Emulation.setEmulatedMedia", features=[])

    def complaints(self) -> list[str]:
        """What the browser had to say of scripts, policies and missing files."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked_hosts(self) -> set[str]:
        names: list[str] = self.driver.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        return {re.match(r"(?:blob:)?(https?://[^/]+)", name)[1] for name in names}  # type: ignore[index]

    def _accessible(self, what: str) -> None:
        axe = Axe(self.driver)
        axe.inject()
        options = {"runOnly": {"type": "tag", "values": list(WCAG)}, "resultTypes": ["violations"]}
        violations = axe.run(options=options)["violations"]
        assert not violations, f"{what}: {axe.report(violations)}"

    def _size(self, width: int, height: int) -> None:
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def _devtools(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)

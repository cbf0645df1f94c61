"""Photographs of several subjects, of one, and of none, on the first screen, by real servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from tests.console.paper import photograph
from tests.console.person import Person

NUMBER = "0172345689"


@pytest.fixture
def page(person: Person) -> Person:
    person.go("/")
    return person


def choose(person: Person, path: Path) -> None:
    person.driver.find_element(By.ID, "file").send_keys(str(path))


def test_a_phone_number_on_paper_is_read(page: Person, tmp_path: Path) -> None:
    left, top = photograph(tmp_path / "number.jpg", NUMBER)
    choose(page, tmp_path / "number.jpg")
    page.wait(lambda d: page.text("#label") == NUMBER)
    assert page.text("#said .hint") == f"{len(NUMBER)} found"
    assert page.texts(".subjects strong") == list(NUMBER)
    assert [tag.rstrip("?") for tag in page.texts("#boxes .tag")] == list(NUMBER)
    stage = page.driver.find_element(By.ID, "preview").rect
    box = page.driver.find_element(By.CSS_SELECTOR, "#boxes .box").rect
    scale = stage["width"] / 1600
    assert abs((box["x"] - stage["x"]) / scale - left) < 25
    assert abs((box["y"] - stage["y"]) / scale - top) < 40
    assert "number.jpg" in page.text("#code")
    assert ":predict?several=all" in page.text("#code")
    page.look("try-number")
    assert page.complaints() == []


def test_doubt_is_said_for_each_subject(page: Person, tmp_path: Path) -> None:
    """Between two digits stands a scribble that is none."""
    photograph(tmp_path / "digits.jpg", "2 7".replace(" ", "0"))
    picture = Image.open(tmp_path / "digits.jpg")
    pixels = np.asarray(picture).copy()
    pixels[260:440, 725:880] = pixels[100:280, 725:880]
    for row in range(270, 430, 24):
        pixels[row : row + 12, 735:865] = 45
    pixels[270:430, 790:806] = 45
    Image.fromarray(pixels).save(tmp_path / "scribble.png")
    choose(page, tmp_path / "scribble.png")
    page.wait(lambda d: len(page.texts(".subjects li")) == 3)
    labels = page.texts(".subjects strong")
    assert (labels[0], labels[2]) == ("2", "7")
    assert page.texts(".doubt") == ["Unsure: unlike anything it was trained on."]
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#boxes .doubtful")) == 1


def test_an_empty_sheet_is_answered_with_a_sentence(page: Person, tmp_path: Path) -> None:
    photograph(tmp_path / "empty.jpg", "")
    choose(page, tmp_path / "empty.jpg")
    page.wait(lambda d: page.text("#label") == "Nothing found")
    assert "finds nothing in this picture" in page.text("#said")
    assert not page.driver.find_element(By.ID, "boxes").is_displayed()
    assert page.texts("#said .bars li") == []


def test_one_digit_has_its_box_and_what_the_network_saw(page: Person, tmp_path: Path) -> None:
    photograph(tmp_path / "three.jpg", "3", size=(900, 700))
    choose(page, tmp_path / "three.jpg")
    page.wait(lambda d: page.text("#label") == "3")
    assert page.texts("#boxes .tag") == ["3"]
    page.wait(lambda d: "28 × 28" in page.text(".shown figcaption"))
    assert len(page.texts("#said .bars li")) == 5


def test_a_drawing_of_two_digits_is_read(page: Person) -> None:
    page.draw(((-100, 60),), start=(-100, -60))
    page.draw(((90, -60), (60, 70)), start=(20, -60))
    page.wait(lambda d: page.text("#label") == "17")


def test_a_file_that_the_browser_cannot_show_is_asked_all_the_same(
    page: Person, tmp_path: Path
) -> None:
    photograph(tmp_path / "five.png", "5", size=(700, 700))
    Image.open(tmp_path / "five.png").save(tmp_path / "five.tif")
    choose(page, tmp_path / "five.tif")
    page.wait(lambda d: page.text("#label") == "5")
    assert page.text("#invite").startswith("five.tif: this browser cannot show it.")
    assert not page.driver.find_element(By.ID, "boxes").is_displayed()

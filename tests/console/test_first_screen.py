"""The first screen, by somebody without an account."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from accounts.database import Database, open_database
from accounts.keys import KeyRequest, make_key
from tests.accounts.conftest import add_account
from tests.conftest import ROOT
from tests.console.person import Person

FETCH = """
window.real ??= window.fetch;
window.sent = [];
window.answer = arguments[0];
window.fetch = async (url, options) => {
  window.sent.push(String(url));
  if (!window.answer || !String(url).includes(":predict")) return window.real(url, options);
  return new Response(JSON.stringify(window.answer), { status: window.answer.code ? 429 : 200 });
};
"""
"""Notes what is sent, and answers in place of a model."""


@pytest.fixture
def key(folder: Path, site: str) -> str:
    engine = open_database(f"sqlite:///{folder}/accounts.db")
    with Database(engine).write() as session:
        account = add_account(session, f"{time.monotonic_ns()}@example.org")
        shown = make_key(session, account.id, KeyRequest("browser"))
    engine.dispose()
    return shown.key


def test_two_clicks_and_a_second_to_the_first_right_answer(person: Person) -> None:
    """One screen: opened, a sample clicked, answered."""
    person.go("/")
    person.look("try-empty")
    person.clicks = 0
    started = time.monotonic()
    person.click("#samples button:nth-child(3)")
    assert person.text("#label") == "7"
    print(f"{person.clicks} click, {time.monotonic() - started:.1f} s")
    assert person.clicks <= 2
    person.wait(lambda d: "28 × 28" in person.text(".shown figcaption"))
    assert "dark on light" in person.text(".shown .facts")
    assert "answers without an account left today" in person.text("#tries-left")
    assert person.asked_hosts() == {person.site}
    person.look("try")
    assert person.complaints() == []


def test_drawing_is_answered_when_the_pen_rests(person: Person) -> None:
    person.go("/")
    person.draw()
    assert person.text("#label") == "7"
    assert person.text(".bars li:first-child").startswith("7")


def test_nothing_is_sent_for_an_empty_canvas(person: Person) -> None:
    person.go("/")
    person.driver.execute_script(FETCH, None)
    person.click("#send")
    assert person.text("#problem") == "There is no picture yet: draw one, or choose one."
    person.draw(((10, 10),))
    person.click("#clear")
    time.sleep(1)
    assert person.driver.execute_script("return window.sent") == []


def test_every_model_answers_its_sample_and_its_card_is_beside_it(person: Person) -> None:
    person.go("/")
    for model, word in (("fashion-mnist", "Shirt"), ("land-cover", "vegetation")):
        person.click(f"[for=model-{model}]")
        names = [
            i.get_attribute("alt")
            for i in person.driver.find_elements(By.CSS_SELECTOR, "#samples img")
        ]
        (at,) = [n for n, name in enumerate(names, 1) if word.lower() in name]
        person.click(f"#samples button:nth-child({at})")
        person.wait(lambda d, word=word: person.text("#label") == word)
        person.wait(lambda d, model=model: model in person.text("#card-title"))
        assert "on the test set" in person.text("#card .facts")
    assert person.driver.find_element(By.ID, "overlay").is_displayed()
    blue = person.driver.execute_script(
        """
        const canvas = document.getElementById("overlay");
        const context = canvas.getContext("2d");
        return [...context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data];
        """
    )
    assert blue == [43, 120, 208, 255]
    overlay = person.driver.find_element(By.ID, "overlay")
    before = float(overlay.value_of_css_property("opacity"))
    person.driver.find_element(By.ID, "slider").send_keys(*[Keys.ARROW_LEFT] * 30)
    person.wait(lambda d: float(overlay.value_of_css_property("opacity")) < before - 0.25)
    person.look("try-map")
    assert person.complaints() == []


def test_the_same_is_had_by_curl_python_and_javascript(
    person: Person, key: str, tmp_path: Path
) -> None:
    person.go("/")
    person.driver.find_element(By.ID, "file").send_keys(str(ROOT / "samples" / "seven.png"))
    assert person.text("#label") == "7"
    shutil.copy(ROOT / "samples" / "seven.png", tmp_path)
    for name, command, read in (
        ("curl", ["bash", "-c"], json.loads),
        ("python", ["python3", "-c"], ast.literal_eval),
    ):
        person.click(f"#tab-{name}")
        done = subprocess.run(
            [*command, person.text("#code")],
            cwd=tmp_path,
            env={**os.environ, "KEY": key},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert read(done.stdout)["predictions"][0]["label"] == "7"
    person.click("#tab-javascript")
    text = person.text("#code")
    assert 'readFile("seven.png")' in text
    assert "process.env.KEY" in text


def test_a_key_of_ones_own_is_used_and_a_wrong_one_is_said(person: Person, key: str) -> None:
    person.go("/")
    person.click("#own-key summary")
    field = person.driver.find_element(By.ID, "key")
    field.send_keys(key)
    person.click("#samples button:nth-child(3)")
    assert person.text("#tries-left") == "Answered with your key."
    field.clear()
    field.send_keys("vk_wrong", Keys.ENTER)
    assert "working API key" in person.text("#problem")
    person.driver.execute_script("sessionStorage.clear()")
    # The browser itself says that a request had status 401.
    assert all("401" in said for said in person.complaints())


def test_everything_is_done_with_the_keyboard(person: Person) -> None:
    """Tab reaches the canvas, where arrows and the space bar draw a one; Enter asks."""
    person.go("/")
    seen = []
    for _ in range(30):
        person.driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(person.driver.switch_to.active_element.get_attribute("id"))
        if seen[-1] == "canvas":
            break
    assert seen[-1] == "canvas"
    canvas = person.driver.switch_to.active_element
    canvas.send_keys(*[Keys.ARROW_UP] * 9, Keys.SPACE, *[Keys.ARROW_DOWN] * 18, Keys.SPACE)
    pen = person.driver.find_element(By.ID, "pen")
    assert pen.get_attribute("textContent") == "Pen up at 140, 230."
    canvas.send_keys(Keys.ENTER)
    assert person.text("#label") == "1"


def test_a_picture_is_pasted_and_dropped(person: Person) -> None:
    events = {
        "paste": "dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))",
        "drop": """document.getElementById("stage").dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }))""",
    }
    for event in events.values():
        person.go("/")
        person.driver.execute_script(
            f"""
            return (async () => {{
              const blob = await fetch("/static/samples/7.png").then((answer) => answer.blob());
              const data = new DataTransfer();
              data.items.add(new File([blob], "mine.png", {{ type: blob.type }}));
              {event};
            }})();
            """
        )
        assert person.text("#label") == "7"
        assert "@mine.png" in person.text("#code")


def test_who_is_unsure_says_so_and_boxes_are_on_the_picture(person: Person) -> None:
    """With the page's own script, and answers put in place of a model's."""
    person.go("/")
    unsure = {
        "label": "8",
        "probability": 0.31,
        "top": [{"label": "8", "probability": 0.31}],
        "unsure": True,
        "why": "unlike anything it was trained on",
    }
    person.driver.execute_script(
        FETCH, {"predictions": [unsure], "model_name": "mnist", "model_version": "1"}
    )
    person.click("#samples button")
    assert person.text(".unsure").startswith("Unsure: unlike anything it was trained on.")
    two = [
        {"label": "4", "probability": 0.99, "box": [10, 20, 100, 200], "top": []},
        {"label": "2", "probability": 0.98, "box": [120, 20, 200, 200], "top": []},
    ]
    person.driver.execute_script(
        FETCH,
        {"predictions": [{"subjects": two}], "model_name": "mnist", "model_version": "1"},
    )
    person.click("#send")
    person.wait(lambda d: person.text("#label") == "42")
    assert person.texts("#boxes .tag") == ["4", "2"]


def test_whatever_a_model_answers_is_shown(person: Person) -> None:
    """Detections, points, values, vectors: as the models' rooms answer them."""
    box = {"label": "cat", "class_id": 1, "score": 0.9, "box": [10, 20, 100, 200]}
    answers = {
        "cat": {"width": 280, "height": 280, "detections": [box]},
        "Nothing found": {"width": 280, "height": 280, "detections": []},
        "1 points": {"keypoints": [{"name": "nose", "x": 20.4, "y": 30.0}]},
        "41.5 years": {"values": [{"label": "age", "value": 41.5, "unit": "years"}]},
        "Answer": {"embedding": [0.1] * 64},
    }
    person.go("/")
    person.draw()
    person.text("#label")
    for headline, answer in answers.items():
        document = {"predictions": [answer], "model_name": "mnist", "model_version": "1"}
        person.driver.execute_script(FETCH, document)
        person.click("#send")
        person.wait(lambda d, headline=headline: person.text("#label") == headline)
    assert "… 64 in all" in person.text("#said pre")


def test_being_offline_is_said(person: Person) -> None:
    person.go("/")
    person.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    person.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **offline})
    try:
        assert "You are offline" in person.text("#offline")
        person.draw()
        assert "offline" in person.text("#problem")
    finally:
        person.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions", {"offline": False, **offline}
        )
    person.wait(lambda d: not d.find_element(By.ID, "offline").is_displayed())
    person.complaints()


def test_used_up_tries_lead_to_signing_up(person: Person) -> None:
    """The last words on the page, so nobody is left before a closed door."""
    person.go("/")
    refusal = {
        "error": "the tries without a key are used up for today; sign up and make a key",
        "code": "tries_used_up",
    }
    person.driver.execute_script(FETCH, refusal)
    person.click("#samples button")
    assert "used up for today" in person.text("#problem")
    assert person.text("#problem a") == "Sign up"

"""What the page tells of a model: its revisions' cards, JSON files in folders (artifact/FORMAT.md).

Only what a person wants to know is read, and none of it has to be there: a revision that was
imported has no training, and one that is kept elsewhere has no folder.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN, FIVE, ALL = "shown=true", "top_k=5", "several=all"
SHARES = "probabilities"
"""The output of a network that gives each label its share."""
SUBJECT = "subject"
"""The frame of a model that looks for what is in a picture."""
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
TEST_SHARES = {
    "test_accuracy": "Accuracy",
    "mean_iou": "Mean overlap",
    "pixel_accuracy": "Pixels right",
}
PARTS = {"train": "to learn from", "test": "to test on"}
PICTURES = {
    "confusion": "What was taken for what on the test set",
    "curves": "How training went",
    "examples": "Examples of the test set, with answers",
}
"""By the names that training gives them, what they show."""

logger = logging.getLogger("console.cards")


@dataclass(frozen=True)
class Card:
    """A revision, for people.

    Attributes:
        facts: titles and texts, in order.
        pictures: file names and what they show.
        query: what the page asks for besides an answer.
        colours: of each label in a mask, as the answer's palette has them; else empty.
    """

    model: str
    revision: str
    labels: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    pictures: tuple[tuple[str, str], ...]
    query: str
    colours: tuple[tuple[int, int, int], ...]


class Cards:
    """Reads the folder ``<root>/<model>/<revision>/``; what is in it is never changed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def newest(self, model: str) -> Card | None:
        """Of the revisions that are here."""
        try:
            revisions = [path.parent.name for path in (self._root / model).glob("*/model.json")]
        except OSError:
            return None
        return self.find(model, max(revisions, key=_order)) if revisions else None

    def find(self, model: str, revision: str) -> Card | None:
        """None where there is no such card, or none that can be read."""
        folder = self._folder(model, revision)
        if folder is None:
            return None
        try:
            document = json.loads((folder / "model.json").read_bytes())
            return _card(model, revision, document, folder)
        except (OSError, ValueError, KeyError, TypeError):
            logger.warning("the card of %s/%s cannot be read", model, revision)
            return None

    def picture(self, model: str, revision: str, name: str) -> Path | None:
        """The file of one of a card's pictures."""
        card = self.find(model, revision)
        if card is None or name not in dict(card.pictures):
            return None
        return self._root / model / revision / name

    def _folder(self, model: str, revision: str) -> Path | None:
        if not (NAME.fullmatch(model) and REVISION.fullmatch(revision)):
            return None
        return self._root / model / revision


def known_labels(cards: Cards) -> Callable[[str, str], tuple[str, ...]]:
    """Labels by model and revision: of the newest card that is here where there is none of it."""

    def labels(model: str, revision: str) -> tuple[str, ...]:
        card = cards.find(model, revision) or cards.newest(model)
        return card.labels if card else ()

    return labels


def samples_of(card: Card, names: Iterable[str]) -> list[str]:
    """Files that are called after labels of the card: ``7.png``, ``water+land.jpg``."""
    labels = {slug(label) for label in card.labels}
    return [name for name in sorted(names) if labels.issuperset(Path(name).stem.split("+"))]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _card(model: str, revision: str, document: Mapping[str, Any], folder: Path) -> Card:
    contract = document["contract"]
    pictures = [
        (path.name, PICTURES.get(path.stem, path.stem)) for path in sorted(folder.glob("*.png"))
    ]
    return Card(
        model,
        revision,
        tuple(map(str, contract.get("labels", ()))),
        tuple(_facts(document)),
        tuple(pictures),
        _query(contract),
        tuple((int(r), int(g), int(b)) for r, g, b in contract.get("colours", ())),
    )


def _query(contract: Mapping[str, Any]) -> str:
    # Whose input has one size, can be shown what the network saw.
    asked = [SHOWN] if "height" in contract["input"] else []
    if asked and SHARES in contract["outputs"] and "colours" not in contract:
        asked.append(FIVE)
    if contract["input"].get("frame", {}).get("kind") == SUBJECT:
        asked.append(ALL)
    return "&".join(asked)


def _facts(document: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    metrics = document.get("metrics") or {}
    for name, value in {**metrics, **(metrics.get("test") or {})}.items():
        if name in TEST_SHARES and isinstance(value, float):
            yield TEST_SHARES[name], f"{100 * value:.2f} % on the test set"
    data = document.get("data") or {}
    if data.get("name"):
        counts = ", ".join(f"{data[key]:,} {word}" for key, word in PARTS.items() if key in data)
        yield "Learnt from", f"{data['name']}: {counts}"
    frame = document["contract"]["input"]
    if "height" in frame:
        colour = "grey" if frame.get("mode") == "L" else "colour"
        yield "Sees", f"{frame['width']} × {frame['height']}, {colour}"
    elif "bands" in frame:
        yield "Sees", f"{', '.join(frame['bands'])}; any size"
    trust = document.get("trust")
    if isinstance(trust, Mapping) and "test" in trust.get("flagged", {}):
        yield "Unsure", f"of {100 * trust['flagged']['test']:.1f} % of the test set"
    size = (document.get("weights") or {}).get("size_bytes")
    if size:
        yield "Size", f"{size / 1e6:.1f} MB"
    if document.get("created"):
        yield "Made", str(document["created"])[:10]


def _order(revision: str) -> tuple[int, str]:
    return (int(revision), "") if revision.isdecimal() else (-1, revision)

"""What an answer said of each picture, in one header of the transformer's.

The edge keeps it beside the request that it has metered, so that a right answer which comes later
can be compared with what was answered: ``label:millionths`` for each instance, with commas between,
labels percent-encoded, and ``?`` at the end where the answer called itself unsure. Where a picture
may have several labels, those that it has are one text (``as_set``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, unquote

HEADER = "x-model-predicted"
MAX_INSTANCES = 32
"""Those that follow in a request are not kept."""
MAX_CHARACTERS = 4096
FORM = re.compile(r"[\w.~%-]{1,1024}:\d{1,7}\??(?:,[\w.~%-]{1,1024}:\d{1,7}\??)*", re.ASCII)
MILLION = 1_000_000
MAX_SET_CHARACTERS = 200
"""Of several labels as one text; percent-encoded, at most as many as ``FORM`` takes of one."""
MAX_ENCODED_SET = 1000


class Predicted(NamedTuple):
    """One instance's answer: the label that it named first."""

    label: str
    probability: float
    unsure: bool = False


def as_set(labels: Iterable[str]) -> str:
    """Several labels as one text, the same in whatever order they come: ``{cat, dog}``, ``{}``.

    Of what is too long the beginning is left, with a digest of all, so that two are the same text
    only where they are the same labels.
    """
    text = f"{{{', '.join(sorted(set(labels)))}}}"
    if _fits(text):
        return text
    end = f" … {sha256(text.encode()).hexdigest()[:16]}}}"
    while not _fits(text + end):
        text = text[:-1]
    return text + end


def is_set(label: str) -> bool:
    """Whether it is several labels, as ``as_set`` writes them."""
    return label.startswith("{") and label.endswith("}")


def _fits(text: str) -> bool:
    return len(text) <= MAX_SET_CHARACTERS and len(quote(text, safe="")) <= MAX_ENCODED_SET


def as_header(predictions: Iterable[Predicted]) -> str:
    """The header's value: of the first ``MAX_INSTANCES``, as many as ``MAX_CHARACTERS`` hold."""
    parts: list[str] = []
    room = MAX_CHARACTERS
    for number, (label, probability, unsure) in enumerate(predictions):
        part = f"{quote(label, safe='')}:{round(probability * MILLION)}{'?' if unsure else ''}"
        room -= len(part) + 1
        if number == MAX_INSTANCES or room < 0:
            break
        parts.append(part)
    return ",".join(parts)


def is_header(text: str) -> bool:
    """Whether ``from_header`` reads it."""
    return len(text) <= MAX_CHARACTERS and FORM.fullmatch(text) is not None


def from_header(text: str) -> list[Predicted]:
    """What ``as_header`` was given; ``text`` has passed ``is_header``."""
    found = []
    for part in text.split(","):
        label, _, share = part.rpartition(":")
        found.append(
            Predicted(unquote(label), int(share.rstrip("?")) / MILLION, share.endswith("?"))
        )
    return found

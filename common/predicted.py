"""What an answer said of each picture, in one header of the transformer's.

The edge keeps it beside the request that it has metered, so that a right answer which comes later
can be compared with what was answered: ``label:millionths`` for each instance, with commas between,
labels percent-encoded, and ``?`` at the end where the answer called itself unsure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote

HEADER = "x-model-predicted"
MAX_INSTANCES = 32
"""Those that follow in a request are not kept."""
MAX_CHARACTERS = 4096
FORM = re.compile(r"[\w.~%-]{1,1024}:\d{1,7}\??(?:,[\w.~%-]{1,1024}:\d{1,7}\??)*", re.ASCII)
MILLION = 1_000_000


class Predicted(NamedTuple):
    """One instance's answer: the label that it named first."""

    label: str
    probability: float
    unsure: bool = False


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

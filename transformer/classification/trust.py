"""Whether an answer is to be trusted, and if not, why."""

from __future__ import annotations

from artifact.trust import FAMILIAR_FROM
from transformer.pictures.assembly import Plain
from transformer.pictures.preprocess import Prepared

NOTHING = "nothing found"
UNLIKE = "unlike anything it was trained on"

LEAST_CONTRAST = 16
"""Levels between the darkest and the lightest pixel below which a small picture is empty."""


def doubt(item: Prepared | Plain, familiarity: float) -> str | None:
    """Why the network cannot know what this is; None where it may."""
    if isinstance(item, Prepared) and item.subjects == 0:
        return NOTHING
    if familiarity >= FAMILIAR_FROM:
        return None
    if isinstance(item, Plain) and max(item.pixels) - min(item.pixels) < LEAST_CONTRAST:
        return NOTHING
    return UNLIKE

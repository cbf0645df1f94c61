"""Labels as answers name them, by their place in a contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from artifact import Contract
from tasks.errors import AnswerError


def indices_of(named: Sequence[Any], labels: Sequence[str]) -> list[int]:
    """The place of each among ``labels``.

    Raises:
        AnswerError: one is none of them.
    """
    places = {label: place for place, label in enumerate(labels)}
    try:
        return [places[label] for label in named]
    except (KeyError, TypeError):
        raise AnswerError(f"{list(named)} are not of the model's labels") from None


def every_label(home: Contract, other: Contract) -> tuple[str, ...]:
    """The labels of ``home``, and then those that only the other one has."""
    return (*home.labels, *(label for label in other.labels if label not in home.labels))

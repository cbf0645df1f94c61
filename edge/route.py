"""What a path and a method ask of the models. Everything that is not listed is not let through:
what the edge and the model server could read differently would be free of charge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?P<{}>[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?)"
_VERSION = r"(?:/versions/[A-Za-z0-9._-]{1,63})?"
_PREDICT = re.compile(
    rf"/v1/models/{_NAME.format('v1')}:predict|/v2/models/{_NAME.format('v2')}{_VERSION}/infer"
)
_LOOK = re.compile(
    rf"/v1/models|/v1/models/{_NAME.format('v1')}"
    rf"|/v2|/v2/health/(?:live|ready)|/v2/models/{_NAME.format('v2')}{_VERSION}(?:/ready)?"
)


@dataclass(frozen=True)
class Route:
    """Attributes:
    model: whose right is needed; empty where it is no single model's.
    metered: whether it asks for predictions.
    """

    model: str
    metered: bool


def find_route(method: str, path: str) -> Route | None:
    """The route of a request, by its path with or without query; None if it is not let through."""
    bare = path.partition("?")[0]
    if method == "POST":
        match, metered = _PREDICT.fullmatch(bare), True
    elif method in ("GET", "HEAD"):
        match, metered = _LOOK.fullmatch(bare), False
    else:
        return None
    if match is None:
        return None
    return Route(match["v1"] or match["v2"] or "", metered)

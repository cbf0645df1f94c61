"""What a path and a method ask of the models. Everything that is not listed is not let through:
what the edge and the model server could read differently would be free of charge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from common import routes

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_VERSION = r"[A-Za-z0-9._-]{1,63}"
_LOOK = re.compile(
    rf"/v1/models|/v1/models/(?P<v1>{_NAME})"
    rf"|/v2|/v2/health/(?:live|ready)|/v2/models/(?P<v2>{_NAME})(?:/versions/{_VERSION})?(?:/ready)?"
)


ESCAPED_COLON = re.compile("%3a", re.IGNORECASE)


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
    # Some clients escape the colon, which the model server reads as one all the same.
    bare = ESCAPED_COLON.sub(":", path.partition("?")[0])
    if method == "POST":
        found = routes.find_route(bare)
        if found is None or found.verb != "predict" or not re.fullmatch(_NAME, found.model):
            return None
        if found.version is not None and not re.fullmatch(_VERSION, found.version):
            return None
        return Route(found.model, metered=True)
    match = _LOOK.fullmatch(bare) if method in ("GET", "HEAD") else None
    return Route(match["v1"] or match["v2"] or "", metered=False) if match else None

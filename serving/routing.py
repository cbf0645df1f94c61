"""One router: a path is a prediction, one of KServe's own routes, or nothing at all.

KServe's framework takes a path that ends in a line break for one that does not, so its own
prediction routes, which know no limits, could be reached past the edge by ``:predict%0a``. What is
not named here never gets to it.
"""

from __future__ import annotations

import re

_NAME = r"[^/:\x00-\x20\x7f]+"

_OF_KSERVE = re.compile(
    rf"/(?:metrics|docs|docs/oauth2-redirect|openapi\.json"
    rf"|v1/models(?:/{_NAME})?"
    rf"|v2(?:/health/(?:live|ready))?"
    rf"|v2/models(?:/{_NAME}(?:/versions/{_NAME})?(?:/ready)?)?"
    rf"|v2/repository/models/{_NAME}/(?:load|unload))?"
)

_NAMED = re.compile(rf"/(models|versions)/{_NAME}")


def is_of_kserve(path: str) -> bool:
    """Whether a path, escapes undone, is one of KServe's routes that predict nothing."""
    return _OF_KSERVE.fullmatch(path) is not None


def template_of(path: str) -> str:
    """One of KServe's routes with placeholders for the names in it."""
    return _NAMED.sub(lambda found: f"/{found[1]}/{{{found[1][:-1]}}}", path)

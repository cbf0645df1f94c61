"""The URLs that ask for predictions, and what a request may be called."""

from __future__ import annotations

import re
from typing import NamedTuple

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
"""Ids of clients that are kept as they are; with any other the request gets a new one."""

_PREDICTION = re.compile(
    r"/(?:v1/models/(?P<v1>[^/:]+):(?P<verb>predict|explain)"
    r"|v2/models/(?P<v2>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer)"
)

_V1_PREDICT, _V1_EXPLAIN = "/v1/models/{model}:predict", "/v1/models/{model}:explain"
_V2, _V2_VERSION = "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"


class Route(NamedTuple):
    """What the path of a prediction request says."""

    model: str
    protocol: str
    verb: str = "predict"
    version: str | None = None

    @property
    def template(self) -> str:
        """The path with placeholders for what differs from model to model."""
        if self.protocol == "v1":
            return _V1_EXPLAIN if self.verb == "explain" else _V1_PREDICT
        return _V2 if self.version is None else _V2_VERSION


def find_route(path: str) -> Route | None:
    """The prediction route of a path without its query; None for every other path."""
    match = _PREDICTION.fullmatch(path)
    if match is None:
        return None
    if match["v1"]:
        return Route(match["v1"], "v1", match["verb"])
    return Route(match["v2"], "v2", version=match["version"])

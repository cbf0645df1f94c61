from __future__ import annotations

import pytest

from common.routes import REQUEST_ID, Route, find_route


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models/mnist:predict", Route("mnist", "v1")),
        ("/v1/models/mnist:explain", Route("mnist", "v1", "explain")),
        ("/v2/models/mnist/infer", Route("mnist", "v2")),
        ("/v2/models/mnist/versions/2/infer", Route("mnist", "v2", version="2")),
    ],
)
def test_a_prediction_route_is_found(path: str, route: Route) -> None:
    assert find_route(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/mnist",
        "/v1/models/mnist:predict\n",
        "/v2/models/mnist/infer\n",
        "/v1/models/a/b:predict",
        "/v2/models/mnist/versions//infer",
        "/v1/models/:predict",
        "//v1/models/mnist:predict",
    ],
)
def test_every_other_path_is_none(path: str) -> None:
    assert find_route(path) is None


@pytest.mark.parametrize(("text", "usable"), [("a" * 128, True), ("a" * 129, False), ("", False)])
def test_a_request_id_is_short(text: str, usable: bool) -> None:
    assert (REQUEST_ID.fullmatch(text) is not None) is usable


@pytest.mark.parametrize("text", ["a b", "a\n", "é", "\x00"])
def test_a_request_id_is_printable_ascii(text: str) -> None:
    assert REQUEST_ID.fullmatch(text) is None

import pytest

from edge.route import Route, find_route


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/models/mnist:predict", Route("mnist", True)),
        ("POST", "/v1/models/mnist:predict?top_k=3", Route("mnist", True)),
        ("POST", "/v1/models/mnist%3Apredict", Route("mnist", True)),
        ("POST", "/v1/models/mnist%3apredict?a=%3A", Route("mnist", True)),
        ("POST", "/v2/models/fashion-mnist/infer", Route("fashion-mnist", True)),
        ("POST", "/v2/models/mnist/versions/2/infer", Route("mnist", True)),
        ("GET", "/v1/models/mnist", Route("mnist", False)),
        ("GET", "/v2/models/mnist/ready", Route("mnist", False)),
        ("HEAD", "/v2/health/ready", Route("", False)),
        ("GET", "/v1/models", Route("", False)),
    ],
)
def test_what_is_let_through(method, path, expected):
    assert find_route(method, path) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/mnist:predict"),
        ("PUT", "/v1/models/mnist:predict"),
        ("POST", "/v1/models/mnist%253Apredict"),
        ("POST", "/v1/models/mnist%2Fpredict"),
        ("POST", "/v1/models/mnist:predict/"),
        ("POST", "/v1/models/mnist:explain"),
        ("POST", "/v1/models/a/b:predict"),
        ("POST", "/v1/models/MNIST:predict"),
        ("POST", "//v1/models/mnist:predict"),
        ("POST", "/v1/models/mnist:predict\n"),
        ("POST", "/v2/repository/models/mnist/unload"),
        ("GET", "/v2/repository/index"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("GET", "*"),
    ],
)
def test_everything_else_is_not(method, path):
    assert find_route(method, path) is None

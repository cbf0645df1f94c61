"""Specs as users write them: which revisions they hold, and how another one gets in."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.errors import NotFoundError
from rollout.inferenceservice import held_models, with_revision
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import FakeCluster


def container(*words: str, **more: Any) -> dict[str, Any]:
    return {"name": "kserve-container", "image": "predictor", "args": list(words), **more}


def shapes() -> list[Any]:
    """The same two models, however the command line is written."""
    first = ["--model=a=1", "--model=b=2"]
    return [
        [container(*first)],
        [container("--workers=1", *reversed(first), "--http_port=8080")],
        [container("--model", "a=1", "--workers", "1", "--model", "b=2")],
        [container("--workers=1", command=["python", "-m", "predictor", *first])],
        [{"name": "transformer-container", "args": ["--model=a"]}, container(*first)],
        [{**container(*first), "name": "mine"}],
    ]


@pytest.mark.parametrize("containers", shapes())
def test_a_revision_is_changed_where_it_stands(containers: list[dict[str, Any]]) -> None:
    predictor = {"minReplicas": 0, "containers": containers}
    assert held_models(predictor) == {"a": "1", "b": "2"}
    changed = with_revision(predictor, "b", "3", "other")
    assert held_models(changed) == {"a": "1", "b": "3"}
    assert held_models(predictor) == {"a": "1", "b": "2"}
    back = with_revision(changed, "b", "2", "predictor")
    assert {**back, "containers": [{**c, "image": ""} for c in back["containers"]]} == {
        **predictor,
        "containers": [{**c, "image": ""} for c in containers],
    }


@pytest.mark.parametrize(
    "predictor",
    [
        {},
        {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/flowers/3"}},
        {"containers": [{"name": "kserve-container", "image": "x"}]},
        {"containers": [{"name": "one"}, {"name": "other", "args": ["--model=a=1"]}]},
        {"containers": [{"name": "kserve-container", "args": [8080, "--model"]}]},
    ],
)
def test_other_peoples_services_hold_nothing_of_ours(predictor: dict[str, Any]) -> None:
    assert held_models(predictor) == {}
    with pytest.raises(NotFoundError, match="it holds: no model"):
        with_revision(predictor, "a", "2")


def test_a_neighbour_of_any_shape_disturbs_no_command(shell: Shell, fake: FakeCluster) -> None:
    for name, predictor in (
        ("runtime", {"model": {"modelFormat": {"name": "sklearn"}}}),
        ("pair", {"containers": [{"name": "one"}, {"name": "two"}]}),
    ):
        fake.store.put(
            "inferenceservices",
            {"metadata": {"name": name}, "spec": {"predictor": predictor}},
        )
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    assert shell("promote") == 0, shell.err

"""One revision's folder, served as the ServingRuntime's pod serves it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from common.processes import ROOT
from local.runtime import LocalRuntime
from local.service import free_ports, interpreters
from tests.conftest import SHIPPED
from tests.end_to_end.conftest import call
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    folder = tmp_path_factory.mktemp("storage")
    shutil.copytree(SHIPPED / "mnist" / "1", folder / "models")
    with LocalRuntime(
        free_ports(), interpreters(), folder / "models", "digits", folder / "logs"
    ) as started:
        yield started


def test_its_url_has_the_services_name(pod: LocalRuntime) -> None:
    picture = (ROOT / "samples" / "seven.png").read_bytes()
    answer = call(f"{pod.url}/v1/models/digits:predict", picture, "image/png")
    document = answer.json()
    assert document["predictions"][0]["label"] == "7"
    assert (document["model_name"], document["model_version"]) == ("digits", "1")
    assert answer.headers["x-model-name"] == "digits"


def test_it_is_ready_while_its_predictor_is(pod: LocalRuntime) -> None:
    ready = f"{pod.url}/v2/health/ready"
    assert call(ready).status == 200
    pod.kill("predictor")
    wait_until(lambda: call(ready).status == 503, 30)
    pod.start("predictor")
    wait_until(lambda: call(ready).status == 200, 60)

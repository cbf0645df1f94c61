import json
from dataclasses import replace

import httpx
import pytest

from accounts.errors import BusyError, ConflictError
from accounts.experiments import ExperimentView, Plan, Shadow, Variant
from accounts.rollout_record import canary_beside, require_apart
from accounts.settings import RecordSettings

SETTINGS = RecordSettings(
    rollout_url="https://k/api/v1/namespaces/vision/configmaps/vision-rollout"
)
LOCAL = ".vision.svc.cluster.local"


def plan(host, model="mnist"):
    old = Variant("old", "1", f"http://prev-vision-predictor{LOCAL}")
    return Plan("halves", model, (old, Variant("new", "2", f"http://{host}{LOCAL}")))


@pytest.fixture
def record(monkeypatch):
    """What the API server has; None: nothing, an exception: it does not answer."""
    kept = {"operation": {"model": "mnist", "revision": "2", "percent": 10}}

    def get(url, **_):
        if isinstance(kept["operation"], Exception):
            raise kept["operation"]
        data = {"operation": json.dumps(kept["operation"])}
        return httpx.Response(200, json={"data": data}, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    return kept


@pytest.mark.parametrize("host", ["vision-predictor", "vision-transformer", "vision"])
def test_what_a_canary_would_split_is_refused(record, host):
    with pytest.raises(ConflictError, match="name its tags"):
        require_apart(SETTINGS, plan(host))
    require_apart(SETTINGS, plan(host, "fashion-mnist"))
    # One pod serves its model by the service's name.
    with pytest.raises(ConflictError, match="name its tags"):
        require_apart(SETTINGS, plan(host, "vision"))
    record["operation"] = None
    require_apart(SETTINGS, plan(host))


def test_a_shadow_that_a_canary_would_split_is_refused(record):
    asked = plan("latest-vision-predictor")
    split = replace(asked, shadow=Shadow("3", f"http://vision-transformer{LOCAL}"))
    with pytest.raises(ConflictError, match="what the shadow gets"):
        require_apart(SETTINGS, split)
    apart = replace(asked, shadow=Shadow("3", f"http://next-transformer{LOCAL}"))
    require_apart(SETTINGS, apart)


@pytest.mark.parametrize("host", ["latest-vision-predictor", "vision-next-transformer"])
def test_tags_and_other_services_are_apart(record, host):
    require_apart(SETTINGS, plan(host))


def test_without_an_answer_nothing_is_started(record):
    record["operation"] = httpx.ConnectError("away")
    with pytest.raises(BusyError):
        require_apart(SETTINGS, plan("vision-predictor"))


def test_without_a_record_there_is_no_canary():
    require_apart(RecordSettings(), plan("vision-predictor"))


def running(host, **more):
    asked = plan(host)
    return ExperimentView(asked.name, asked.model, asked.variants, **more)


def test_an_experiment_is_told_of_a_canary_beside_it(record):
    said = canary_beside(SETTINGS, running("latest-vision-predictor"))
    assert said == "the canary of mnist/2 is open, and splits who takes no part"
    assert "splits new and whoever" in canary_beside(SETTINGS, running("vision-predictor"))
    assert canary_beside(SETTINGS, running("vision-predictor", stopped_ms=1)) == ""
    record["operation"] = {"model": "fashion-mnist", "revision": "2"}
    assert canary_beside(SETTINGS, running("vision-predictor")) == ""
    record["operation"] = None
    assert canary_beside(SETTINGS, running("vision-predictor")) == ""
    record["operation"] = httpx.ConnectError("away")
    assert "is not known" in canary_beside(SETTINGS, running("vision-predictor"))

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics

from local.service import LocalService
from tests.conftest import ROOT
from tests.end_to_end.conftest import call, instances, start
from tests.front_door.test_metrics_page import listed

SAMPLES = {
    "seven.png": ("mnist", "7"),
    "three.jpg": ("mnist", "3"),
    "shirt.png": ("fashion-mnist", "Shirt"),
    "trouser.webp": ("fashion-mnist", "Trouser"),
    "ankle-boot.png": ("fashion-mnist", "Ankle boot"),
}


def sample(name: str) -> bytes:
    return (ROOT / "samples" / name).read_bytes()


def test_every_sample_is_tested() -> None:
    # Aerial images are another service's; see test_land_cover.
    pictures = {p.name for p in (ROOT / "samples").iterdir() if p.suffix not in (".py", ".tif")}
    assert pictures == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_gets_its_label(service: LocalService, name: str) -> None:
    model, label = SAMPLES[name]
    response = call(f"{service.url}/v1/models/{model}:predict", instances(sample(name)))
    assert response.status == 200, response.body
    (prediction,) = response.json()["predictions"]
    assert prediction["label"] == label


def test_another_revision_gets_them_right_too_and_says_so(tmp_path: Path) -> None:
    with start(tmp_path, {"fashion-mnist": "1", "mnist": "1"}) as service:
        for name, (model, label) in SAMPLES.items():
            response = call(f"{service.url}/v1/models/{model}:predict", instances(sample(name)))
            assert response.json()["predictions"][0]["label"] == label, name
            assert response.json()["model_version"] == "1"
            assert response.headers["x-model-revision"] == "1"


def test_answer_has_the_documented_shape(service: LocalService) -> None:
    body = instances(sample("seven.png"), sample("three.jpg"), top_k=2)
    response = call(f"{service.url}/v1/models/mnist:predict", body)
    answer = response.json()
    assert set(answer) == {"predictions", "model_name", "model_version"}
    assert (answer["model_name"], answer["model_version"]) == ("mnist", "2")
    assert [p["label"] for p in answer["predictions"]] == ["7", "3"]
    for prediction in answer["predictions"]:
        assert set(prediction) == {
            *("label", "class_id", "probability", "top", "polarity"),
            *("box", "familiarity", "unsure"),
        }
        assert prediction["unsure"] is False
        assert len(prediction["top"]) == 2
        assert prediction["top"][0] == {k: prediction[k] for k in ("label", "probability")}
    assert response.headers["x-model-revision"] == "2"
    assert response.headers["x-model-instances"] == "2"
    assert response.headers["x-model-pixels"] == str(280 * 280 + 400 * 280)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json; charset=utf-8", instances(sample("seven.png"))),
        ("application/x-www-form-urlencoded", instances(sample("seven.png"))),
        ("image/png", sample("seven.png")),
        ("application/x-www-form-urlencoded", sample("seven.png")),
        (
            "application/json",
            json.dumps({"base64": base64.b64encode(sample("seven.png")).decode()}).encode(),
        ),
    ],
)
def test_other_forms_of_the_request(service: LocalService, content_type: str, body: bytes) -> None:
    response = call(f"{service.url}/v1/models/mnist:predict", body, content_type)
    assert response.status == 200, response.body
    assert response.json()["predictions"][0]["label"] == "7"


def test_v2_request_gets_a_v2_answer(service: LocalService) -> None:
    text = base64.b64encode(sample("seven.png")).decode()
    document = {
        "id": "abc",
        "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}],
    }
    response = call(f"{service.url}/v2/models/mnist/infer", json.dumps(document).encode())
    answer = response.json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("abc", "mnist", "2")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["label"]["data"] == ["7"]
    assert outputs["class_id"]["data"] == [7]
    assert outputs["probabilities"]["shape"] == [1, 10]


def test_request_id_is_kept(service: LocalService) -> None:
    response = call(
        f"{service.url}/v1/models/mnist:predict",
        instances(sample("seven.png")),
        headers={"X-Request-Id": "my-request-7"},
    )
    assert response.headers["x-request-id"] == "my-request-7"


def test_readiness_of_all_models_is_one_url(service: LocalService) -> None:
    for url in (service.url, service.predictor_url):
        assert call(f"{url}/v2/health/ready").json() == {"ready": True}
        for model in ("mnist", "fashion-mnist"):
            assert call(f"{url}/v1/models/{model}").json() == {"name": model, "ready": True}


def test_metrics_name_model_revision_and_code(service: LocalService) -> None:
    call(f"{service.url}/v1/models/mnist:predict", instances(sample("seven.png")))
    for url, protocol, route in (
        (service.url, "v1", "/v1/models/{model}:predict"),
        (service.predictor_url, "v2", "/v2/models/{model}/infer"),
    ):
        text = call(f"{url}/metrics").body.decode()
        labels = f'code="200",model_name="mnist",protocol="{protocol}",revision="2",route="{route}"'
        assert f"vision_requests_total{{{labels}}}" in text


def test_the_page_of_metrics_lists_what_the_servers_expose(service: LocalService) -> None:
    for url, of in ((service.url, "transformer"), (service.predictor_url, "predictor")):
        headers = {"accept": "application/openmetrics-text"}
        text = call(f"{url}/metrics", headers=headers).body.decode()
        found = {f.name: f.type for f in openmetrics.text_string_to_metric_families(text)}
        expected = {
            name.removesuffix("_total"): kind for name, (kind, _) in listed("both", of).items()
        }
        assert {n: k for n, k in found.items() if n.startswith("vision_")} == expected
        assert "process_resident_memory_bytes" in found


@pytest.mark.parametrize("action", ["load", "unload"])
def test_model_repository_is_closed(service: LocalService, action: str) -> None:
    for url in (service.url, service.predictor_url):
        response = call(f"{url}/v2/repository/models/mnist/{action}", method="POST", body=b"")
        assert response.status == 403
        assert response.json()["code"] == "forbidden"
        assert call(f"{url}/v1/models/mnist").status == 200


def test_logs_are_json_and_hold_no_image(service: LocalService) -> None:
    text = base64.b64encode(b"no image, but nobody else sends this").decode()
    body = json.dumps({"instances": [{"base64": text}]}).encode()
    assert call(f"{service.url}/v1/models/mnist:predict", body).status == 415
    folder = service.log_folder
    assert folder is not None
    lines = (Path(folder) / "transformer.log").read_text().splitlines()
    warned = [json.loads(line) for line in lines if "not_an_image" in line]
    assert warned
    assert warned[-1]["level"] == "WARNING"
    assert not [line for line in lines if not line.startswith("{")]
    assert not [line for line in lines if text in line]

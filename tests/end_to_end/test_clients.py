"""Public clients get the same answers from the predictor as the transformer does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton_http
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)
from numpy.typing import NDArray

from artifact import open_revision
from common.ports import free_row
from common.processes import answers
from local.manifest import Ports, local_components
from local.service import ROOT, LocalService, command_line, interpreters
from predictor.loading import load_revision
from tests.conftest import SHIPPED
from tests.end_to_end.conftest import call, distinct_pngs

Batch = NDArray[np.float32]


@pytest.fixture(scope="module")
def batch() -> Batch:
    return np.random.default_rng(3).normal(size=(5, 1, 28, 28)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(batch: Batch) -> Batch:
    return load_revision(SHIPPED, "mnist", "2").probabilities(batch)


def same(found: object, expected: Batch) -> bool:
    return np.allclose(np.asarray(found, np.float32).reshape(expected.shape), expected, atol=1e-5)


def test_v1_rest(service: LocalService, batch: Batch, expected: Batch) -> None:
    body = json.dumps({"instances": batch.tolist()}).encode()
    answer = call(f"{service.predictor_url}/v1/models/mnist:predict", body).json()
    assert same([found["probabilities"] for found in answer["predictions"]], expected)
    revision = open_revision(SHIPPED, "mnist", "2")
    assert (answer["model_version"], answer["model_digest"]) == ("2", revision.digest)


@pytest.mark.parametrize("binary", [True, False])
def test_triton_http(service: LocalService, batch: Batch, expected: Batch, binary: bool) -> None:
    with triton_http.InferenceServerClient(service.predictor_url.removeprefix("http://")) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("mnist")
        tensor = triton_http.InferInput("image", list(batch.shape), "FP32")
        tensor.set_data_from_numpy(batch, binary_data=binary)
        wanted = [triton_http.InferRequestedOutput("probabilities", binary_data=binary)]
        assert same(client.infer("mnist", [tensor]).as_numpy("probabilities"), expected)
        result = client.infer("mnist", [tensor], outputs=wanted)
        assert same(result.as_numpy("probabilities"), expected)
        assert result.get_response()["model_version"] == "2"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a predictor's gRPC, which has to be asked for."""
    port, http_port = free_row(2)
    predictor, _ = local_components(Ports(1, http_port), SHIPPED)
    command = command_line(predictor, interpreters()["predictor"])
    process = subprocess.Popen(
        [*command, "--enable_grpc=true", f"--grpc_port={port}"],
        env={**os.environ, **predictor.environment},
        cwd=ROOT,
    )
    try:
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{http_port}/v2/health/ready"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def triton(address: str, batch: Batch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("triton") / "batch.npy"
    np.save(path, batch)
    program = Path(__file__).with_name("triton_grpc_calls.py")
    done = subprocess.run(
        [sys.executable, str(program), address, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_triton_grpc(triton: dict[str, Any], expected: Batch) -> None:
    assert triton["ready"] == [True, True]
    assert triton["input"] == "image"
    assert same(triton["probabilities"], expected)
    assert triton["version"] == "2"


@pytest.mark.parametrize(
    ("call", "status", "text"),
    [
        ("wrong shape", "INVALID_ARGUMENT", "the shape is (n, 1, 28, 28), not (5, 1, 27, 28)"),
        ("not finite", "INVALID_ARGUMENT", "a value is not finite"),
        ("wrong contract", "INVALID_ARGUMENT", "contract_digest is sha256:0; mnist/2 has sha256:"),
        ("unknown model", "NOT_FOUND", "model 'nope' not found; available: "),
        ("load", "PERMISSION_DENIED", "this endpoint is closed"),
        ("unload", "PERMISSION_DENIED", "this endpoint is closed"),
    ],
)
def test_triton_grpc_is_refused_precisely(
    triton: dict[str, Any], call: str, status: str, text: str
) -> None:
    found_status, found_text = triton[call]
    assert found_status == f"StatusCode.{status}"
    assert text in found_text
    assert triton["still ready"] is True


async def test_kserve_clients(
    service: LocalService, address: str, batch: Batch, expected: Batch
) -> None:
    tensor = InferInput("image", list(batch.shape), "FP32")
    tensor.set_data_from_numpy(batch, binary_data=True)
    request = InferRequest("mnist", [tensor])
    grpc = InferenceGRPCClient(address)
    answer = await grpc.infer(request)
    assert same(answer.outputs[0].as_numpy(), expected)
    assert answer.model_version == "2"
    await grpc.close()

    plain = InferInput("image", list(batch.shape), "FP32")
    plain.set_data_from_numpy(batch, binary_data=False)
    for protocol in ("v1", "v2"):
        rest = InferenceRESTClient(RESTConfig(protocol=protocol))
        body = InferRequest("mnist", [plain]) if protocol == "v2" else {"instances": batch.tolist()}
        found = await rest.infer(service.predictor_url, body, model_name="mnist")
        if protocol == "v2":
            values = found.outputs[0].as_numpy()
        else:
            values = [prediction["probabilities"] for prediction in found["predictions"]]
        assert same(values, expected)
        await rest.close()


def test_triton_sends_images_to_the_transformer(service: LocalService) -> None:
    images = distinct_pngs(3, seed=1)
    with triton_http.InferenceServerClient(service.url.removeprefix("http://")) as client:
        tensor = triton_http.InferInput("image", [3], "BYTES")
        tensor.set_data_from_numpy(np.array(images, dtype=object), binary_data=True)
        result = client.infer("mnist", [tensor])
        labels = [label.decode() for label in result.as_numpy("label")]
        assert labels == [str(i) for i in result.as_numpy("class_id")]
        assert result.as_numpy("probabilities").shape == (3, 10)

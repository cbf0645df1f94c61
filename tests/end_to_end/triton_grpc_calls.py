"""Calls of a real Triton gRPC client, printed as JSON.

A program of its own: Triton's and KServe's protocol files register the same symbols, so no process
can import both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def refusal(action: Callable[[], Any]) -> list[str]:
    try:
        action()
    except InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["answered", ""]


def tensor(values: np.ndarray[Any, Any]) -> triton.InferInput:
    found = triton.InferInput("image", list(values.shape), "FP32")
    found.set_data_from_numpy(np.ascontiguousarray(values))
    return found


def main(address: str, batch_file: str) -> None:
    batch = np.load(batch_file)
    with triton.InferenceServerClient(address) as client:
        result = client.infer("mnist", [tensor(batch)])
        other = {"contract_digest": "sha256:0"}
        found = {
            "ready": [client.is_server_ready(), client.is_model_ready("mnist")],
            "input": client.get_model_metadata("mnist").inputs[0].name,
            "probabilities": result.as_numpy("probabilities").tolist(),
            "version": result.get_response().model_version,
            "wrong shape": refusal(lambda: client.infer("mnist", [tensor(batch[:, :, :27])])),
            "not finite": refusal(lambda: client.infer("mnist", [tensor(batch * np.nan)])),
            "wrong contract": refusal(
                lambda: client.infer("mnist", [tensor(batch)], parameters=other)
            ),
            "unknown model": refusal(lambda: client.infer("nope", [tensor(batch)])),
            "load": refusal(lambda: client.load_model("mnist")),
            "unload": refusal(lambda: client.unload_model("mnist")),
            "still ready": client.is_model_ready("mnist"),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A predictor after the pattern of KServe's sample ``custom_model``.

As there: the forward pass in a plain function, which KServe runs on its event loop. Unlike there
it answers all instances of a request, and with probabilities.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from torch import Tensor

from benchmarks.peers.network import load_network


class NetworkModel(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        self.network = load_network()
        self.ready = True
        return self.ready

    def preprocess(  # type: ignore[override]
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None
    ) -> Tensor:
        assert headers is not None
        if isinstance(payload, InferRequest):
            return torch.tensor(payload.inputs[0].as_numpy())
        headers["request-type"] = "v1"
        return torch.tensor(np.asarray(payload["instances"], np.float32))

    def predict(  # type: ignore[override]
        self,
        batch: Tensor,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        result = self.network.probabilities(batch)
        if headers is not None and headers.get("request-type") == "v1":
            return {"predictions": result.tolist()}
        output = InferOutput("probabilities", list(result.shape), "FP32")
        output.set_data_from_numpy(result.numpy(), binary_data=True)
        return InferResponse("", self.name, [output])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser], conflict_handler="resolve")
    options, _ = parser.parse_known_args()
    ModelServer().start([NetworkModel(options.model_name)])

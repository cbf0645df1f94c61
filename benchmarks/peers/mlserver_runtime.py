"""An MLServer runtime with its adaptive batching, after MLServer's "custom runtime" example."""

from __future__ import annotations

import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.network import load_network


class NetworkRuntime(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        self._network = load_network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        batch = torch.stack([self._network.decode(text) for text in texts])
        output = self._network.probabilities(batch).numpy()
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output("probabilities", output)],
        )

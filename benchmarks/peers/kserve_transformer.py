"""A transformer after the pattern of KServe's sample ``custom_transformer``.

As there: torchvision's transforms, built anew for each image, in a plain function, which KServe
runs on its event loop.
"""

from __future__ import annotations

import argparse
import base64
import io
from typing import Any

import numpy as np
from kserve import InferInput, InferRequest, InferResponse, Model, ModelServer, model_server
from PIL import Image

import training.torchvision_ops  # noqa: F401  torchvision imports only after it

from torchvision import transforms  # isort: skip

MEAN, STD = (0.1307,), (0.3081,)


class ImageTransformer(Model):
    def __init__(self, name: str, protocol: str) -> None:
        super().__init__(name)
        self.predictor_protocol = protocol
        self.ready = True

    def preprocess(  # type: ignore[override]
        self,
        payload: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferRequest:
        batch = np.asarray([image_transform(item) for item in payload["instances"]])
        if self.predictor_protocol == "v1":
            return {"instances": [tensor.tolist() for tensor in batch]}
        tensor = InferInput("image", list(batch.shape), "FP32")
        tensor.set_data_from_numpy(batch, binary_data=True)
        return InferRequest(model_name=self.name, infer_inputs=[tensor])

    def postprocess(  # type: ignore[override]
        self,
        result: dict[str, Any] | InferResponse,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        if isinstance(result, InferResponse):
            return {"predictions": result.outputs[0].as_numpy().tolist()}
        return result


def image_transform(instance: dict[str, str]) -> Any:
    preprocess = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    image = Image.open(io.BytesIO(base64.b64decode(instance["base64"])))
    return preprocess(image).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[model_server.parser], conflict_handler="resolve")
    options, _ = parser.parse_known_args()
    model = ImageTransformer(options.model_name, options.predictor_protocol)
    ModelServer().start([model])

"""The predictor's settings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.settings import without_prefix
from serving.settings import ServerSettings


class PredictorSettings(ServerSettings):
    old_names: ClassVar[dict[str, str]] = ServerSettings.old_names | without_prefix("precision")
    old_names |= {"workers": "TORCH_THREADS"}

    workers: int = Field(
        0, ge=0, description="forward passes at once; 0: the processors of the cgroup's quota"
    )
    max_pass_seconds: float = Field(
        30.0, gt=0, description="time that a forward pass may take before its requests get 504"
    )
    max_hang_seconds: float = Field(
        0.0,
        ge=0,
        description="time that the event loop, or all forward passes, may stand still before the "
        "process exits; 0: for ever, where a liveness probe looks",
    )
    max_model_bytes: int = Field(
        0,
        ge=0,
        description="most bytes of weights, all together, of models that are loaded by their first "
        "request; 0: a third of the memory limit",
    )
    engine: str = Field(
        "auto",
        min_length=1,
        description="what computes: `torch`, `onnxruntime`, `openvino`, or `auto` for the fastest "
        "whose program the model card says is equal to the PyTorch network",
    )
    device: str = Field(
        "cpu", pattern="^(cpu|cuda)$", description="where it computes: `cpu`, or `cuda` for a GPU"
    )
    precision: str = Field(
        "float32",
        pattern="^(float32|bfloat16)$",
        description="of the networks: `float32`, or `bfloat16` where the processor computes in it",
    )

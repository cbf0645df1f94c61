"""The predictor's settings."""

from __future__ import annotations

from pydantic import Field

from serving.settings import ServerSettings


class PredictorSettings(ServerSettings):
    torch_threads: int = Field(
        0, ge=0, description="forward passes at once; 0: the processors of the cgroup's quota"
    )
    precision: str = Field(
        "float32",
        pattern="^(float32|bfloat16)$",
        description="of the networks: `float32`, or `bfloat16` where the processor computes in it",
    )

"""The predictor's settings."""

from __future__ import annotations

from pydantic import Field

from serving.settings import ServerSettings


class PredictorSettings(ServerSettings):
    torch_threads: int = Field(
        0, ge=0, description="threads of one forward pass; 0: the processors of the cgroup's quota"
    )

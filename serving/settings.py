"""What both servers read from the environment."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from common.origins import read_origins
from common.settings import Settings, without_prefix
from serving.scheduling.admission import Admission
from serving.scheduling.polling import BusyPoll, affordable_seconds


class ServerSettings(Settings):
    """What both servers read.

    Attributes:
        busy_poll_requests: in progress, up to which there is busy polling.
    """

    busy_poll_requests: ClassVar[int] = 0
    old_names: ClassVar[dict[str, str]] = without_prefix(
        "host",
        "model_root",
        "max_body_bytes",
        "max_instances",
        "queue_requests",
        "queue_bytes",
        "queue_seconds",
        "busy_poll_seconds",
        "log_level",
        "access_log",
        "grace_seconds",
    )

    host: str = Field("0.0.0.0", description="address that HTTP and gRPC listen on")
    model_root: str = Field("/opt/models", description="folder of `<name>/<revision>/`")
    max_body_bytes: int = Field(
        32 << 20, ge=1024, description="largest HTTP request body that is read"
    )
    max_instances: int = Field(256, ge=1, description="most instances in one request")
    queue_requests: int = Field(
        1024, ge=1, description="most requests in progress; more are refused with 429"
    )
    queue_bytes: int = Field(
        256 << 20,
        ge=1024,
        description="most bytes of bodies and messages in progress; more are refused",
    )
    queue_seconds: float = Field(
        0.06, gt=0, description="wait above which, by the measured speed, requests are refused"
    )
    busy_poll_seconds: float = Field(
        0.0,
        ge=0,
        le=0.1,
        description="time that an event loop with little to do looks for more before it sleeps",
    )
    fast_path: bool = Field(
        True, description="call a model's hooks without KServe's way around them"
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="lowest level that is logged"
    )
    access_log: bool = Field(False, description="a log line for every request, not only failures")
    cors_origins: str = Field(
        "",
        description="web origins whose pages may read answers, with commas between, or `*`; "
        "empty: none",
    )
    grace_seconds: int = Field(
        25, ge=0, description="time that requests in flight get to finish after SIGTERM"
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        return ",".join(read_origins(value))

    def admission(self) -> Admission:
        """One for all the edges of a server."""
        return Admission(
            self.queue_requests,
            self.queue_bytes,
            self.queue_seconds,
            BusyPoll(affordable_seconds(self.busy_poll_seconds), self.busy_poll_requests),
        )

"""Settings from the environment: typed, documented, and refused by name when wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.admission import Admission
from serving.polling import BusyPoll, affordable_seconds

S = TypeVar("S", bound="ServerSettings")


class SettingError(ValueError):
    """An environment variable has a value that cannot be used; names the variable."""


class ServerSettings(BaseModel):
    """What both servers read. Each field is the environment variable of its upper-case name.

    Attributes:
        busy_poll_requests: in progress, up to which there is busy polling.
    """

    model_config = ConfigDict(frozen=True)
    busy_poll_requests: ClassVar[int] = 0

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
        0.002,
        ge=0,
        le=0.1,
        description="time that an event loop with little to do looks for more before it sleeps",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="lowest level that is logged"
    )
    access_log: bool = Field(False, description="a log line for every request, not only failures")
    grace_seconds: int = Field(
        25, ge=0, description="time that requests in flight get to finish after SIGTERM"
    )

    def admission(self) -> Admission:
        """One for all the edges of a server."""
        return Admission(
            self.queue_requests,
            self.queue_bytes,
            self.queue_seconds,
            BusyPoll(affordable_seconds(self.busy_poll_seconds), self.busy_poll_requests),
        )


def read_settings(kind: type[S], environment: Mapping[str, str]) -> S:
    """Build a settings object from environment variables.

    Raises:
        SettingError: naming the variable and what is wrong with it.
    """
    values = {
        name: environment[name.upper()]
        for name in kind.model_fields
        if environment.get(name.upper(), "") != ""
    }
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        raise SettingError(f"{name}={environment.get(name, '')!r}: {first['msg']}") from None

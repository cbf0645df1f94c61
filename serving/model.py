"""The interface between the protocol edges (HTTP, gRPC) and a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kserve import Model

from serving.errors import Unavailable

CONTRACT_DIGEST = "contract_digest"
"""v2 request parameter with which a transformer says what contract its tensors follow."""


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request, its body read whole; header names are lower-case."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""

    @property
    def media_type(self) -> str:
        """The content type without parameters, lower-case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answered:
    """What every answer says of itself, whatever protocol it leaves by.

    Attributes:
        revision: of the model, as its card names it.
        digest: of the artefact (of its ``model.json``, which names the weights' digest).
        instances: how many instances were answered.
    """

    revision: str
    digest: str
    instances: int


class ServedModel(Model):
    """A ``kserve.Model`` whose payloads are read and written by itself, one pair a protocol.

    The edges do: read, ``await model(payload, headers)`` (KServe's preprocess, predict and
    postprocess, with its metrics), write. So whatever the protocol, one handler answers.
    """

    @abstractmethod
    def read_v1(self, request: HttpRequest) -> Any:
        """The payload of a v1 ``:predict`` request."""

    @abstractmethod
    def read_v2(self, request: HttpRequest) -> Any:
        """The payload of a v2 ``/infer`` request."""

    @abstractmethod
    def write_v1(self, answer: Any) -> Reply:
        """The v1 reply."""

    @abstractmethod
    def write_v2(self, answer: Any) -> Reply:
        """The v2 reply."""

    async def close(self) -> None:
        """Let go of connections; called once, when the server has stopped taking requests."""

    def require_ready(self) -> None:
        if not self.ready:
            raise Unavailable(f"model {self.name} is not ready")


def revision_headers(name: str, answered: Answered) -> dict[str, str]:
    """Response headers that say which revision answered."""
    return {
        "x-model-name": name,
        "x-model-revision": answered.revision,
        "x-model-digest": answered.digest,
        "x-model-instances": str(answered.instances),
    }

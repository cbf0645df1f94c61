"""A refusal, as Envoy passes it on."""

from __future__ import annotations

import json
from collections.abc import Mapping


class DeniedError(Exception):
    """The request does not reach a model."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {"content-type": "application/json", **(headers or {})}
        self.body = json.dumps({"error": message, "code": code}) + "\n"

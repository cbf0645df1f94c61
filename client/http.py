"""Predictions over HTTP, with the standard library."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit


class PredictError(RuntimeError):
    """The service refused or could not be reached; the message is for a person.

    ``status`` is the HTTP status, None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PredictClient:
    """One keep-alive connection; not for use by several threads at once."""

    def __init__(self, url: str, timeout_seconds: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PredictError(f"{url!r} is no http:// or https:// URL")
        try:
            port = parts.port
        except ValueError:
            raise PredictError(f"{url!r} has no valid port") from None
        kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._url = url
        self._prefix = parts.path.rstrip("/")
        self._connection = kind[parts.scheme](parts.hostname, port, timeout=timeout_seconds)

    def predict(
        self, model: str, images: list[bytes], parameters: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The v1 answer to encoded images.

        Raises:
            PredictError: no connection, or a status other than 200.
        """
        document: dict[str, Any] = {
            "instances": [{"base64": base64.b64encode(image).decode()} for image in images]
        }
        if parameters:
            document["parameters"] = parameters
        path = f"{self._prefix}/v1/models/{model}:predict"
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request("POST", path, json.dumps(document), headers)
            response = self._connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise PredictError(f"cannot reach {self._url}: {error}") from None
        try:
            answer: dict[str, Any] = json.loads(body)
            if not isinstance(answer, dict):
                raise ValueError
        except ValueError:
            raise PredictError(f"{self._url} answered {status} without JSON", status) from None
        if status != 200:
            raise PredictError(f"{status}: {answer.get('error', 'no reason given')}", status)
        return answer

    def __enter__(self) -> PredictClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

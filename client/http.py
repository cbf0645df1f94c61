"""Predictions over HTTP, with the standard library's client."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tasks import Question


class PredictError(RuntimeError):
    """The service refused or could not be reached; the message is for a person.

    ``status`` is the HTTP status, None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Reply(NamedTuple):
    """The body of a 200, and the revision that gave it."""

    body: bytes
    revision: str


class PredictClient:
    """One keep-alive connection; not for use by several threads at once."""

    def __init__(self, url: str, timeout_seconds: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PredictError(f"expected an http:// or https:// URL, got {url!r}")
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
        question = Question(json.dumps(document).encode(), "application/json")
        return self._document(200, self.ask(model, question).body)

    def outputs(self, model: str) -> list[str]:
        """The names of a model's outputs: what kind of model it is.

        Raises:
            PredictError: no connection, or model not found.
        """
        status, body, _ = self._exchange("GET", f"/v2/models/{model}", None, {})
        document = self._document(status, body)
        if status != 200:
            raise PredictError(f"{status}: {document.get('error', 'no reason given')}", status)
        return [output["name"] for output in document.get("outputs", [])]

    def ask(self, model: str, question: Question) -> Reply:
        """Send one request to a model's predict URL.

        Raises:
            PredictError: no connection, or a status other than 200.
        """
        path = f"/v1/models/{model}:predict" + (f"?{question.query}" if question.query else "")
        headers = {"Content-Type": question.media_type, "Accept": question.accept}
        status, body, response = self._exchange("POST", path, question.body, headers)
        if status != 200:
            reason = self._document(status, body).get("error", "no reason given")
            raise PredictError(f"{status}: {reason}", status)
        return Reply(body, response.getheader("x-model-revision", ""))

    def _exchange(
        self, method: str, path: str, body: bytes | str | None, headers: dict[str, str]
    ) -> tuple[int, bytes, http.client.HTTPResponse]:
        try:
            self._connection.request(method, self._prefix + path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read(), response
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise PredictError(f"cannot reach {self._url}: {error}") from None

    def _document(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(body)
            if not isinstance(answer, dict):
                raise ValueError
        except ValueError:
            raise PredictError(f"{self._url} answered {status} without JSON", status) from None
        return answer

    def __enter__(self) -> PredictClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

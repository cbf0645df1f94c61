"""What customers have said was right, by revision: the accounts' own count, asked with a key."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import httpx

from rollout.errors import UnreachableError
from rollout.evidence import Calls

PATH = "/v1/feedback/accuracy"
TIMEOUT_SECONDS = 10.0


class Feedback:
    """Of one model.

    Args:
        url: of the edge, or of the console within the cluster.
        key_file: a key with ``feedback:read``, of somebody with the right ``operations``.
    """

    def __init__(self, url: str, key_file: Path, model: str) -> None:
        try:
            key = key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UnreachableError(f"the key of feedback, {key_file}: {error.strerror}") from None
        self._model = model
        self._client = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def since(self, moment: str) -> dict[str, Calls]:
        """Of predictions that were made since, by revision.

        Args:
            moment: such as ``2026-01-02T03:04:05Z``.

        Raises:
            UnreachableError: the accounts do not say.
        """
        start = int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)
        try:
            answer = self._client.get(PATH, params={"model": self._model, "from": start})
            answer.raise_for_status()
            rows = answer.json()
            return {
                row["revision"]: Calls(labelled=row["count"], correct=row["right"]) for row in rows
            }
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UnreachableError(f"feedback cannot be read: {error}") from None

    def close(self) -> None:
        self._client.close()

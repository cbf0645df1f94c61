"""Web origins whose pages may read answers (CORS), as a setting names them."""

from __future__ import annotations

import re

ALL = "*"
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")

METHODS = ("GET", "HEAD", "POST")
REQUEST_HEADERS = (
    "accept",
    "authorization",
    "content-encoding",
    "content-type",
    "inference-header-content-length",
    "x-request-id",
)
ANSWER_HEADERS = (
    "inference-header-content-length",
    "retry-after",
    "x-error-code",
    "x-model-digest",
    "x-model-instances",
    "x-model-name",
    "x-model-pixels",
    "x-model-revision",
    "x-request-id",
    "x-vision-variant",
)
MAX_AGE_SECONDS = 600


def read_origins(text: str) -> tuple[str, ...]:
    """Origins of a text that lists them with commas between; ``*`` alone is every origin.

    Raises:
        ValueError: one of them is no origin.
    """
    found = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for origin in found:
        if origin == ALL and len(found) == 1:
            continue
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin, such as https://app.example.org")
    return found

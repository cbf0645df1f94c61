"""Base64, bare or in a data URL (RFC 2397), to the bytes that it stands for."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from serving.errors import MalformedRequestError

SCHEME = "data:"
BASE64 = ";base64"


def decode_text(text: str, instance: int | None) -> bytes:
    """The bytes of an image that came as a text: strict base64, or a data URL of either kind.

    Raises:
        MalformedRequestError: naming what is wrong and the instance at fault.
    """
    if text[: len(SCHEME)].lower() == SCHEME:
        media_type, comma, content = text[len(SCHEME) :].partition(",")
        if not comma:
            raise _refusal("a data URL has a comma before its data", instance)
        if not media_type.rstrip().lower().endswith(BASE64):
            return _not_empty(unquote_to_bytes(content), instance)
        text = unquote_to_bytes(content).decode("latin-1") if "%" in content else content
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _refusal(_fault(text), instance) from None
    return _not_empty(data, instance)


def _not_empty(data: bytes, instance: int | None) -> bytes:
    if not data:
        raise _refusal("the image is empty", instance)
    return data


def _refusal(message: str, instance: int | None) -> MalformedRequestError:
    return MalformedRequestError(message, instance=instance, code="invalid_base64")


def _fault(text: str) -> str:
    if re.search(r"\s", text):
        return "base64 must not hold line breaks or spaces (with coreutils: base64 -w0)"
    if re.fullmatch(r"[A-Za-z0-9_-]+=*", text) and re.search("[_-]", text):
        return "base64 must use + and /, not the URL-safe - and _"
    if re.fullmatch(r"[A-Za-z0-9+/]+", text) and len(text) % 4:
        return "base64 is not padded with = to a multiple of 4 characters"
    return "not valid base64"

"""What kind of answer a request wants."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serving.errors import InvalidRequestError, UnsupportedMediaError


def wanted_output(name: object, accept: str, outputs: Mapping[str, str], default: str) -> str:
    """The media type of an answer: the parameter wins; else the header's best that there is.

    Args:
        name: of the parameter ``output``; None where it is left out.
        accept: the header ``Accept``.
        outputs: media types by the names that the parameter has for them.
        default: where anything is accepted.

    Raises:
        InvalidRequestError: no output has that name.
        UnsupportedMediaError: nothing that is accepted can be answered.
    """
    if name is not None:
        if name not in outputs:
            raise InvalidRequestError(f"output must be one of {', '.join(outputs)}")
        return outputs[str(name)]
    ranked = sorted(
        (item.partition(";") for item in accept.lower().split(",")),
        key=lambda parts: -_quality(parts[2]),
    )
    for kind, _, _ in ranked:
        kind = kind.strip()
        if kind in outputs.values():
            return kind
        if kind in ("*/*", "application/*", ""):
            return default
    raise UnsupportedMediaError(
        f"none of {accept[:200]!r} can be answered; there are: {', '.join(outputs.values())}",
        code="not_acceptable",
    )


def _quality(parameters: str) -> float:
    match = re.search(r"(?:^|;)\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", parameters)
    return float(match[1]) if match else 1.0

"""What kind of answer a request wants."""

from __future__ import annotations

from collections.abc import Mapping

from mimeparse import MimeTypeParseException, best_match

from serving.errors import InvalidRequestError, NotAcceptableError


def wanted_output(name: object, accept: str, outputs: Mapping[str, str], default: str) -> str:
    """The media type of an answer: the parameter wins; else what the header likes most.

    Args:
        name: of the parameter ``output``; None where it is left out.
        accept: the header ``Accept`` (RFC 9110, section 12.5.1); one that cannot be read counts
            as none.
        outputs: media types by the names that the parameter has for them.
        default: what is answered where it is liked as much as any other.

    Raises:
        InvalidRequestError: no output has that name.
        NotAcceptableError: nothing that is accepted can be answered.
    """
    if name is not None:
        if name not in outputs:
            raise InvalidRequestError(f"output must be one of {', '.join(outputs)}")
        return outputs[str(name)]
    # Of equals the last one is taken.
    offered = sorted(outputs.values(), key=lambda kind: kind == default)
    try:
        found: str = best_match(offered, accept.lower()) if accept.strip() else default
    except MimeTypeParseException:
        found = default
    if not found:
        raise NotAcceptableError(
            f"none of {accept[:200]!r} can be answered; there are: {', '.join(outputs.values())}"
        )
    return found

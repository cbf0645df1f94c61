"""What the check hands to meter and log of endings, by way of Envoy's dynamic metadata."""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "envoy.filters.http.ext_authz"
FIELD = "metered"
ATTEMPT_FIELD = "attempt"
"""Of everything that was let through, metered or not: the number of its attempt."""
_SEPARATOR = " "


@dataclass(frozen=True)
class Metered:
    """A request that was let through. Only Envoy and its filters can read or write this.

    Attributes:
        attempt_id: random; tells this attempt from others under the same request id.
        reserved: whether it was admitted as one of the repeats that a billed id may have.
        request_bytes: the declared length of its body, -1 where there is none.
        experiment: that it is part of, with its variant and its subject's hash; empty for none.
        keeps_predicted: whether what is predicted is kept, for a right answer that comes later.
    """

    account_id: str
    key_id: str
    family: str
    model: str
    attempt_id: int
    reserved: bool
    started_ms: int
    request_bytes: int
    keeps_predicted: bool
    request_id: str
    experiment: str = ""
    variant: str = ""
    subject: str = ""

    def as_text(self) -> str:
        return _SEPARATOR.join(
            (
                self.account_id,
                self.key_id,
                self.family,
                self.model,
                str(self.attempt_id),
                str(int(self.reserved)),
                str(self.started_ms),
                str(self.request_bytes),
                str(int(self.keeps_predicted)),
                self.request_id,
                self.experiment,
                self.variant,
                self.subject,
            )
        )


def read_metered(text: str) -> Metered:
    account, key, family, model, attempt, reserved, started, size, keeps, request, *experiment = (
        text.split(_SEPARATOR)
    )
    return Metered(
        *(account, key, family, model, int(attempt), reserved == "1", int(started), int(size)),
        keeps == "1",
        request,
        *experiment,
    )

"""What the check hands to the meter, by way of Envoy's dynamic metadata."""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "envoy.filters.http.ext_authz"
FIELD = "metered"
_SEPARATOR = " "


@dataclass(frozen=True)
class Metered:
    """A request that was let through. Only Envoy and its filters can read or write this."""

    account_id: str
    key_id: str
    family: str
    model: str
    started_ms: int
    request_bytes: int
    request_id: str

    def as_text(self) -> str:
        return _SEPARATOR.join(
            (
                self.account_id,
                self.key_id,
                self.family,
                self.model,
                str(self.started_ms),
                str(self.request_bytes),
                self.request_id,
            )
        )


def read_metered(text: str) -> Metered:
    account, key, family, model, started, size, request_id = text.split(_SEPARATOR)
    return Metered(account, key, family, model, int(started), int(size), request_id)

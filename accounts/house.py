"""The house's own account: tries without a key are on its bill."""

from __future__ import annotations

from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import now_ms
from accounts.keys import ALL_MODELS
from accounts.secret_tokens import token_hash
from accounts.tables import USER, Account, ApiKey

HOUSE = "house"
"""Id of the account and of its one key."""
HOUSE_HASH = token_hash(HOUSE)
"""Of a text that has no key's form: nobody can send the key, and the check alone uses it."""
HOUSE_RATE = 20


def open_house(session: Session, monthly_requests: int) -> None:
    """Have the account and its key there, with a quota of so many billed requests a month."""
    if session.get(Account, HOUSE) is None:
        now = now_ms()
        session.add(Account(id=HOUSE, role=USER, created_ms=now, verified_ms=now))
        session.flush()
        session.add(
            ApiKey(
                id=HOUSE,
                account_id=HOUSE,
                family=HOUSE,
                name="tries without a key",
                hash=HOUSE_HASH,
                hint="",
                scopes=ALL_MODELS,
                quota_requests=monthly_requests,
                rate_per_second=HOUSE_RATE,
                created_ms=now,
            )
        )
        audit.record(session, "house opened", HOUSE, audit.SHELL)
    session.get_one(ApiKey, HOUSE).quota_requests = monthly_requests

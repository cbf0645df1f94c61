"""What mails say, and what changes when they are made."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import HOUR_MS, now_ms
from accounts.secret_tokens import new_id, new_token, token_hash
from accounts.settings import AccountsSettings
from accounts.tables import USER, Account, MailedToken, OwedMail
from common.mail import Mail

VERIFY, RESET = "verify", "reset"
VERIFY_HOURS, RESET_HOURS = 48, 2
MAX_OPEN_LINKS = 5
"""Links that confirm one address, each with the password of its own registration."""


def owe_verification(
    session: Session, email: str, password_hash: str, browser_hash: str | None = None
) -> None:
    """A link that finishes a registration; where there is an account, word of that instead."""
    _owe(session, VERIFY, email, password_hash, browser_hash)


def owe_reset(session: Session, email: str) -> None:
    """A link with which a new password can be set, if there is an account."""
    _owe(session, RESET, email, None)


def _owe(
    session: Session,
    kind: str,
    email: str,
    password_hash: str | None,
    browser_hash: str | None = None,
) -> None:
    now = now_ms()
    session.add(
        OwedMail(
            kind=kind,
            email=email,
            password_hash=password_hash,
            browser_hash=browser_hash,
            tries=0,
            created_ms=now,
            due_ms=now,
        )
    )


class MailWriter:
    """Makes the mail that is owed, with a new token; see ``accounts.outbox``."""

    def __init__(self, settings: AccountsSettings) -> None:
        self._url = settings.public_url

    def __call__(self, session: Session, row: OwedMail) -> Mail | None:
        account = session.scalar(select(Account).where(Account.email == row.email))
        registered = account is not None and account.verified_ms is not None
        if row.kind == RESET:
            return self._reset(session, account) if account is not None and registered else None
        if registered:
            return Mail(
                row.email,
                "You have an account already",
                "Somebody, perhaps you, tried to register with this address, which has an account."
                f"\n\nLog in: {self._url}/login\nForgotten the password: {self._url}/reset\n",
            )
        return self._verification(session, account, row)

    def _verification(self, session: Session, account: Account | None, row: OwedMail) -> Mail:
        if account is None:
            account = Account(id=new_id("acc"), email=row.email, role=USER, created_ms=now_ms())
            session.add(account)
            session.flush()
            audit.record(session, "account registered", account.id)
        # An older link stays good, with the password that it was registered with: who registers
        # somebody else's address again must not take their way in.
        older = session.scalars(
            select(MailedToken.hash)
            .where(MailedToken.account_id == account.id, MailedToken.purpose == VERIFY)
            .order_by(MailedToken.expires_ms.desc())
            .offset(MAX_OPEN_LINKS - 1)
        ).all()
        session.execute(delete(MailedToken).where(MailedToken.hash.in_(older)))
        token = _new_token(
            session, account.id, VERIFY, VERIFY_HOURS, row.password_hash, row.browser_hash
        )
        return Mail(
            row.email,
            "Confirm your address",
            "Open this to finish your registration:\n\n"
            f"{self._url}/verify?token={token}\n\n"
            f"It works for {VERIFY_HOURS} hours. If it was not you, do nothing.\n",
        )

    def _reset(self, session: Session, account: Account) -> Mail:
        token = _new_token(session, account.id, RESET, RESET_HOURS, None)
        return Mail(
            account.email or "",
            "A new password",
            "Open this to choose a new password:\n\n"
            f"{self._url}/reset?token={token}\n\n"
            f"It works for {RESET_HOURS} hours. If it was not you, do nothing.\n",
        )


def _new_token(
    session: Session,
    account_id: str,
    purpose: str,
    hours: int,
    password_hash: str | None,
    browser_hash: str | None = None,
) -> str:
    token = new_token()
    session.add(
        MailedToken(
            hash=token_hash(token),
            account_id=account_id,
            purpose=purpose,
            password_hash=password_hash,
            browser_hash=browser_hash,
            expires_ms=now_ms() + hours * HOUR_MS,
        )
    )
    return token

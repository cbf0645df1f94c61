"""Registration, proof of the address, login, password, closing an account.

Nothing here is slow while a transaction is open: an attempt is counted and committed, then the
password is hashed, then what follows from it is written, after a look at whether it still holds.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import DAY_MS, HOUR_MS, now_ms
from accounts.database import Database
from accounts.errors import InvalidValueError, NotLoggedInError, WrongLoginError
from accounts.outbox import Outbox
from accounts.owed_mail import RESET, VERIFY, owe_reset, owe_verification
from accounts.passwords import Passwords
from accounts.secret_tokens import new_id, new_token, token_hash
from accounts.settings import AccountsSettings
from accounts.tables import (
    USER,
    Account,
    ApiKey,
    Capture,
    CaptureChoice,
    KnownClient,
    LoginSession,
    MailedToken,
)
from accounts.throttle import Limit, Subject, count_attempt, give_back
from common.roles import read_roles

ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+|[^@\s]{1,64}@localhost")
LOGIN_WINDOW_SECONDS = 15 * 60
REGISTRATION_WINDOW_SECONDS = 3600
MAILS_PER_ADDRESS = 5
"""Mails an hour that anybody can have sent to an address; each of their links works."""
KNOWN_DAYS = 90


@dataclass(frozen=True)
class Login:
    """Who a session belongs to."""

    account_id: str
    email: str
    roles: tuple[str, ...]
    csrf: str

    def may(self, right: str) -> bool:
        """Whether one of the roles has a right of ``common/roles.yaml``."""
        return right in self.rights

    @property
    def rights(self) -> frozenset[str]:
        """Beside those to one's own account."""
        return read_roles().rights_of(self.roles)


@dataclass(frozen=True)
class NewSession:
    """A session as it is made; its token is not stored."""

    token: str
    csrf: str
    expires_ms: int


@dataclass(frozen=True)
class _Stored:
    """What a password is compared with, as it was before the comparison."""

    account_id: str
    password_hash: str | None


class People:
    """Everything that people do with their own account.

    Args:
        client: in every method, the address that a request came from; attempts are limited by it.
    """

    def __init__(
        self, settings: AccountsSettings, database: Database, passwords: Passwords, outbox: Outbox
    ) -> None:
        self._settings = settings
        self._database = database
        self._passwords = passwords
        self._outbox = outbox
        # By client and account together: ten wrong guesses lock nobody else out. By client alone:
        # one password is not tried at every account. By account alone: many clients do not share
        # the work; whoever has logged in from an address before is not among them.
        window = LOGIN_WINDOW_SECONDS
        self._logins = Limit("login", settings.login_attempts, window)
        self._client_logins = Limit("client", settings.client_login_attempts, window)
        self._account_logins = Limit("account", settings.account_login_attempts, window)
        window = REGISTRATION_WINDOW_SECONDS
        self._registrations = Limit("registration", settings.registration_attempts, window)
        self._mails = Limit("mail", MAILS_PER_ADDRESS, window)

    def register(self, email: str, password: str, client: str, browser: str = "") -> None:
        """Have a token mailed to a new account's address.

        A registered address gets another mail instead, and the caller sees no difference.

        Args:
            browser: a secret of the browser that it is done in, if any; see ``verify``.

        Raises:
            InvalidValueError: the address or the password cannot be taken.
            TooManyAttemptsError: by the client, or mails to the address.
            BusyError: too many passwords are being hashed.
        """
        email = normalise_email(email)
        self._count_mail(email, client)
        password_hash = self._passwords.hash(password)
        with self._database.write() as session:
            owe_verification(
                session, email, password_hash, token_hash(browser) if browser else None
            )
        self._outbox.notify()

    def registered_in(self, token: str, browser: str) -> bool:
        """Whether a token belongs to a registration that was made in this browser.

        Raises:
            InvalidValueError: the token is unknown, used or too old.
        """
        with self._database.read() as session:
            row = find_mailed(session, token, VERIFY)
            return _made_in(row, browser)

    def verify(self, token: str, password: str, browser: str = "") -> str:
        """The token proves the address; the password, or a secret of the browser in which it was
        chosen, proves that it was the address's owner who registered, and not somebody else in
        their name.

        Returns:
            The account's id.

        Raises:
            InvalidValueError: the token is unknown, used or too old, or the password is not
                that of the registration.
            TooManyAttemptsError, BusyError
        """
        with self._database.read() as session:
            row = find_mailed(session, token, VERIFY)
            stored = _Stored(row.account_id, row.password_hash)
            proven = _made_in(row, browser)
        attempt: list[int] = []
        if not proven:
            attempt = self._count(Subject(self._logins, f"verification of {stored.account_id}"))
            if not self._passwords.fits(password, stored.password_hash):
                raise InvalidValueError("that is not the password of the registration", "password")
        with self._database.write() as session:
            row = find_mailed(session, token, VERIFY)
            give_back(session, attempt)
            account = session.get_one(Account, row.account_id)
            account.password_hash = row.password_hash
            row.used_ms = account.verified_ms = now_ms()
            # Links of other registrations of this address end here.
            self._drop_mailed(session, account.id, VERIFY, row.hash)
            audit.record(session, "address verified", account.id)
            return account.id

    def log_in(self, email: str, password: str, client: str) -> NewSession:
        """Open a session.

        Raises:
            WrongLoginError: the same for every reason.
            TooManyAttemptsError, BusyError
        """
        try:
            address = normalise_email(email)
        except InvalidValueError:
            # Nobody has it; it counts, and takes as long as another one.
            address = ""
        attempt = self._count_login(address, client)
        with self._database.read() as session:
            account = session.scalar(select(Account).where(Account.email == address))
            stored = _Stored(account.id, account.password_hash) if account else _Stored("", None)
        fits = self._passwords.fits(password, stored.password_hash)
        with self._database.write() as session:
            account = session.get(Account, stored.account_id) if stored.account_id else None
            if account is not None and (not fits or not _still(account, stored)):
                audit.record(session, "login failed", account.id, audit.NOBODY)
            elif account is not None:
                give_back(session, attempt)
                self._remember_client(session, address, client)
                return self.open_session(session, account)
        # The attempt stays counted.
        raise WrongLoginError

    def open_session(self, session: Session, account: Account) -> NewSession:
        """A session for somebody who has proven who they are."""
        token, csrf = new_token(), new_token()
        now = now_ms()
        expires = now + self._settings.session_hours * HOUR_MS
        session.add(
            LoginSession(
                hash=token_hash(token),
                account_id=account.id,
                csrf=csrf,
                created_ms=now,
                expires_ms=expires,
            )
        )
        audit.record(session, "logged in", account.id)
        return NewSession(token, csrf, expires)

    def who(self, token: str) -> Login:
        """Raises NotLoggedInError."""
        with self._database.read() as session:
            found = session.execute(
                select(Account, LoginSession.csrf)
                .join(LoginSession, LoginSession.account_id == Account.id)
                .where(LoginSession.hash == token_hash(token), LoginSession.expires_ms > now_ms())
            ).one_or_none()
            if found is None:
                raise NotLoggedInError
            account, csrf = found
            return Login(account.id, account.email or "", tuple(account.role.split()), csrf)

    def log_out(self, token: str) -> None:
        with self._database.write() as session:
            row = session.get(LoginSession, token_hash(token))
            if row is not None:
                audit.record(session, "logged out", row.account_id)
                session.delete(row)

    def change_password(self, account_id: str, old: str, new: str) -> None:
        """End every session of the account.

        Raises:
            InvalidValueError, TooManyAttemptsError, BusyError
        """
        attempt, stored = self._prove(account_id, old, "the present password is wrong", "old")
        password_hash = self._passwords.hash(new)
        with self._database.write() as session:
            account = self._require_still(session, stored)
            give_back(session, attempt)
            self._set_password(session, account, password_hash)

    def ask_reset(self, email: str, client: str) -> None:
        """Have a token mailed with which a new password can be set; the caller learns nothing.

        Raises:
            InvalidValueError: that is no address.
            TooManyAttemptsError: by the client, or mails to the address.
        """
        email = normalise_email(email)
        with self._database.write() as session:
            self._count_mail(email, client, session)
            owe_reset(session, email)
        self._outbox.notify()

    def reset_password(self, token: str, new: str, client: str) -> None:
        """A way in, too, for whose account was tried by others until its limit was reached.

        Raises:
            InvalidValueError: the token is unknown, used or too old.
            BusyError
        """
        with self._database.read() as session:
            # Before the work: a made-up token costs none.
            find_mailed(session, token, RESET)
        password_hash = self._passwords.hash(new)
        with self._database.write() as session:
            row = find_mailed(session, token, RESET)
            row.used_ms = now_ms()
            account = session.get_one(Account, row.account_id)
            self._set_password(session, account, password_hash)
            self._remember_client(session, account.email or "", client)

    def close(self, account_id: str, password: str) -> None:
        """Revoke everything and forget the address; bills stay, as bookkeeping law wants.

        Raises:
            InvalidValueError: the password is wrong.
            TooManyAttemptsError, BusyError
        """
        attempt, stored = self._prove(account_id, password, "the password is wrong", "password")
        with self._database.write() as session:
            account = self._require_still(session, stored)
            give_back(session, attempt)
            now = now_ms()
            account.email = account.password_hash = account.subject = None
            account.closed_ms = now
            # One by one: the mirror sees what changes row by row.
            working = (ApiKey.account_id == account_id, ApiKey.revoked_ms.is_(None))
            for key in session.scalars(select(ApiKey).where(*working)):
                key.revoked_ms = now
            self._end_sessions(session, account_id)
            # Without their rows the objects cannot be read; `retain` deletes them.
            for table in (MailedToken, Capture, CaptureChoice):
                session.execute(delete(table).where(table.account_id == account_id))
            audit.record(session, "account closed", account_id)

    def account_of_subject(self, session: Session, subject: str, email: str) -> Account:
        """The account of an OpenID Connect login, made at the first one.

        Args:
            subject: SHA-256 of the provider's issuer and subject.
            email: an address that the provider says is verified.

        Raises:
            InvalidValueError: the address has an account with a password: use that.
        """
        account = session.scalar(select(Account).where(Account.subject == subject))
        if account is not None:
            return account
        email = normalise_email(email)
        known = session.scalar(select(Account).where(Account.email == email))
        if known is not None and known.verified_ms is not None:
            raise InvalidValueError("this address has an account with a password: log in with that")
        now = now_ms()
        if known is None:
            known = Account(id=new_id("acc"), email=email, role=USER, created_ms=now)
            session.add(known)
        known.password_hash, known.subject, known.verified_ms = None, subject, now
        session.flush()
        audit.record(session, "account registered", known.id, detail="by OpenID Connect")
        return known

    def _count(self, *subjects: Subject) -> list[int]:
        with self._database.write() as session:
            return count_attempt(session, *subjects)

    def _count_login(self, address: str, client: str) -> list[int]:
        subjects = [
            Subject(self._logins, f"{client} as {address}"),
            Subject(self._client_logins, client),
        ]
        with self._database.write() as session:
            if session.get(KnownClient, _known_hash(address, client)) is None:
                subjects.append(Subject(self._account_logins, address))
            return count_attempt(session, *subjects)

    def _count_mail(self, email: str, client: str, session: Session | None = None) -> None:
        subjects = Subject(self._registrations, client), Subject(self._mails, email)
        if session is None:
            self._count(*subjects)
        else:
            count_attempt(session, *subjects)

    def _prove(
        self, account_id: str, password: str, problem: str, field: str
    ) -> tuple[list[int], _Stored]:
        """That who is logged in knows the password; raises InvalidValueError(problem, field)."""
        attempt = self._count(Subject(self._logins, f"password of {account_id}"))
        with self._database.read() as session:
            stored = _Stored(account_id, session.get_one(Account, account_id).password_hash)
        # Who logs in by a provider has none, and may close the account without.
        needed = stored.password_hash is not None or field == "old"
        if needed and not self._passwords.fits(password, stored.password_hash):
            raise InvalidValueError(problem, field)
        return attempt, stored

    def _require_still(self, session: Session, stored: _Stored) -> Account:
        account = session.get_one(Account, stored.account_id, with_for_update=True)
        if account.password_hash != stored.password_hash or account.closed_ms is not None:
            raise InvalidValueError("the password was changed at this moment; try again")
        return account

    def _remember_client(self, session: Session, address: str, client: str) -> None:
        session.merge(KnownClient(hash=_known_hash(address, client), at_ms=now_ms()))

    def _set_password(self, session: Session, account: Account, password_hash: str) -> None:
        account.password_hash = password_hash
        self._end_sessions(session, account.id)
        audit.record(session, "password changed", account.id)

    def _end_sessions(self, session: Session, account_id: str) -> None:
        session.execute(delete(LoginSession).where(LoginSession.account_id == account_id))

    def _drop_mailed(self, session: Session, account_id: str, purpose: str, but: str) -> None:
        session.execute(
            delete(MailedToken).where(
                MailedToken.account_id == account_id,
                MailedToken.purpose == purpose,
                MailedToken.hash != but,
            )
        )


def find_mailed(session: Session, token: str, purpose: str) -> MailedToken:
    """The row of a mailed token, locked until the transaction ends; raises InvalidValueError."""
    row = session.get(MailedToken, token_hash(token), with_for_update=True)
    if row is None or row.purpose != purpose or row.used_ms or row.expires_ms <= now_ms():
        raise InvalidValueError("this link is wrong, was used already, or is too old")
    return row


def _still(account: Account, stored: _Stored) -> bool:
    """Whether who knew the password a moment ago may log in now."""
    return account.password_hash == stored.password_hash and may_log_in(account)


def _made_in(row: MailedToken, browser: str) -> bool:
    return bool(browser) and same(row.browser_hash or "", token_hash(browser))


def _known_hash(address: str, client: str) -> str:
    # Hashed so that the table is no list of addresses.
    return token_hash(f"{client} as {address}")


def may_log_in(account: Account) -> bool:
    return account.verified_ms is not None and account.closed_ms is None


def normalise_email(email: str) -> str:
    """Lower case, without spaces around.

    Raises:
        InvalidValueError: it is no address.
    """
    email = email.strip().lower()
    if len(email) > 254 or not ADDRESS.fullmatch(email) or not email.isprintable():
        raise InvalidValueError("that is no mail address", "email")
    return email


def emails_of(session: Session, account_ids: Sequence[str]) -> dict[str, str]:
    """Addresses by account; a closed one has none."""
    rows = session.execute(
        select(Account.id, Account.email).where(
            Account.id.in_(account_ids), Account.email.is_not(None)
        )
    )
    return {account_id: email or "" for account_id, email in rows}


def forget_old(session: Session) -> None:
    """Delete sessions and mailed tokens that work no longer."""
    now = now_ms()
    session.execute(delete(LoginSession).where(LoginSession.expires_ms < now))
    session.execute(delete(MailedToken).where(MailedToken.expires_ms < now - DAY_MS))
    session.execute(delete(KnownClient).where(KnownClient.at_ms < now - KNOWN_DAYS * DAY_MS))


def same(left: str, right: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return secrets.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )

"""Registration, proof of the address, login, password, closing an account."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import DAY_MS, HOUR_MS, now_ms
from accounts.errors import NoSuchThing, NotLoggedIn, Refused, WrongLogin
from accounts.mail import Mailer
from accounts.passwords import hash_password, password_fits
from accounts.secret_tokens import new_id, new_token, token_hash
from accounts.settings import AccountsSettings
from accounts.tables import Account, ApiKey, LoginSession, MailedToken
from accounts.throttle import Limit, count_attempt, require_under

USER, OPERATOR = "user", "operator"
ROLES = (USER, OPERATOR)
ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+|[^@\s]{1,64}@localhost")
VERIFY, RESET = "verify", "reset"
VERIFY_HOURS, RESET_HOURS = 48, 2
LOGIN_WINDOW_SECONDS = 15 * 60
REGISTRATION_WINDOW_SECONDS = 3600


@dataclass(frozen=True)
class Login:
    """Who a session belongs to."""

    account_id: str
    email: str
    role: str
    csrf: str

    @property
    def operator(self) -> bool:
        return self.role == OPERATOR


@dataclass(frozen=True)
class NewSession:
    """A session as it is made; its token is not stored."""

    token: str
    csrf: str
    expires_ms: int


class People:
    """Everything that people do with their own account.

    Args:
        client: in every method, the address that a request came from; attempts are limited by it.
    """

    def __init__(self, settings: AccountsSettings, mailer: Mailer) -> None:
        self._settings = settings
        self._mailer = mailer
        self._logins = Limit("login", settings.login_attempts, LOGIN_WINDOW_SECONDS)
        self._registrations = Limit(
            "registration", settings.registration_attempts, REGISTRATION_WINDOW_SECONDS
        )

    def register(self, session: Session, email: str, password: str, client: str) -> None:
        """Mail a token to a new account's address.

        A registered address gets another mail instead, and the caller sees no difference.
        """
        email = normalise_email(email)
        require_under(session, self._registrations, client)
        count_attempt(session, self._registrations, client)
        password_hash = hash_password(password)
        known = session.scalar(select(Account).where(Account.email == email))
        if known is not None and known.verified_ms is not None:
            self._mailer.send(
                email,
                "You have an account already",
                "Somebody, perhaps you, tried to register with this address, which has an account."
                f"\n\nLog in: {self._settings.public_url}/login\n"
                f"Forgotten the password: {self._settings.public_url}/reset\n",
            )
            return
        if known is None:
            known = Account(id=new_id("acc"), email=email, role=USER, created_ms=now_ms())
            session.add(known)
            session.flush()
            audit.record(session, "account registered", known.id)
        known.password_hash = password_hash
        self._drop_mailed(session, known.id, VERIFY)
        token = self._mailed(session, known.id, VERIFY, VERIFY_HOURS)
        self._mailer.send(
            email,
            "Confirm your address",
            "Open this to finish your registration:\n\n"
            f"{self._settings.public_url}/verify?token={token}\n\n"
            f"It works for {VERIFY_HOURS} hours. If it was not you, do nothing.\n",
        )

    def verify(self, session: Session, token: str, password: str) -> None:
        """Both are needed: the token proves the address, the password proves that it was the
        address's owner who registered, and not somebody else in their name.

        Raises:
            Refused: the token is unknown, used or too old, or the password is not that of the
                registration.
        """
        row = self._find_mailed(session, token, VERIFY)
        account = session.get_one(Account, row.account_id)
        subject = f"verification of {account.id}"
        require_under(session, self._logins, subject)
        if not password_fits(password, account.password_hash):
            count_attempt(session, self._logins, subject)
            session.commit()
            raise Refused("that is not the password of the registration", "password")
        row.used_ms = account.verified_ms = now_ms()
        audit.record(session, "address verified", account.id)

    def log_in(self, session: Session, email: str, password: str, client: str) -> NewSession:
        """Raises WrongLogin, which says the same for every reason, or TooMany."""
        address = email.strip().lower()
        require_under(session, self._logins, f"from {client}", f"as {address}")
        account = session.scalar(select(Account).where(Account.email == address))
        fits = password_fits(password, account.password_hash if account else None)
        if account is None or not fits or not may_log_in(account):
            count_attempt(session, self._logins, f"from {client}", f"as {address}")
            if account is not None:
                audit.record(session, "login failed", account.id, audit.NOBODY)
            # The attempt counts although the caller sees an error.
            session.commit()
            raise WrongLogin
        return self.open_session(session, account)

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

    def who(self, session: Session, token: str) -> Login:
        """Raises NotLoggedIn."""
        found = session.execute(
            select(Account, LoginSession.csrf)
            .join(LoginSession, LoginSession.account_id == Account.id)
            .where(LoginSession.hash == token_hash(token), LoginSession.expires_ms > now_ms())
        ).one_or_none()
        if found is None:
            raise NotLoggedIn
        account, csrf = found
        return Login(account.id, account.email or "", account.role, csrf)

    def log_out(self, session: Session, token: str) -> None:
        session.execute(delete(LoginSession).where(LoginSession.hash == token_hash(token)))

    def change_password(self, session: Session, account_id: str, old: str, new: str) -> None:
        """Ends every session of the account; raises WrongLogin or Refused."""
        account = session.get_one(Account, account_id)
        require_under(session, self._logins, f"password of {account_id}")
        if not password_fits(old, account.password_hash):
            count_attempt(session, self._logins, f"password of {account_id}")
            session.commit()
            raise Refused("the present password is wrong", "old")
        self._set_password(session, account, new)

    def ask_reset(self, session: Session, email: str, client: str) -> None:
        """Mail a token with which a new password can be set; says nothing to the caller."""
        email = normalise_email(email)
        require_under(session, self._registrations, client)
        count_attempt(session, self._registrations, client)
        account = session.scalar(select(Account).where(Account.email == email))
        if account is None or account.verified_ms is None:
            return
        token = self._mailed(session, account.id, RESET, RESET_HOURS)
        self._mailer.send(
            email,
            "A new password",
            "Open this to choose a new password:\n\n"
            f"{self._settings.public_url}/reset?token={token}\n\n"
            f"It works for {RESET_HOURS} hours. If it was not you, do nothing.\n",
        )

    def reset_password(self, session: Session, token: str, new: str) -> None:
        """Raises Refused if the token is unknown, used or too old."""
        row = self._find_mailed(session, token, RESET)
        row.used_ms = now_ms()
        self._set_password(session, session.get_one(Account, row.account_id), new)

    def close(self, session: Session, account_id: str, password: str) -> None:
        """Revoke everything and forget the address; bills stay, as bookkeeping law wants."""
        account = session.get_one(Account, account_id)
        require_under(session, self._logins, f"password of {account_id}")
        if account.password_hash is not None and not password_fits(password, account.password_hash):
            count_attempt(session, self._logins, f"password of {account_id}")
            session.commit()
            raise Refused("the password is wrong", "password")
        now = now_ms()
        account.email = account.password_hash = account.subject = None
        account.closed_ms = now
        session.execute(
            update(ApiKey)
            .where(ApiKey.account_id == account_id, ApiKey.revoked_ms.is_(None))
            .values(revoked_ms=now)
        )
        self._end_sessions(session, account_id)
        session.execute(delete(MailedToken).where(MailedToken.account_id == account_id))
        audit.record(session, "account closed", account_id)

    def account_of_subject(self, session: Session, subject: str, email: str) -> Account:
        """The account of an OpenID Connect login, made at the first one.

        Args:
            subject: SHA-256 of the provider's issuer and subject.
            email: an address that the provider says is verified.

        Raises:
            Refused: the address has an account with a password, which must be used instead.
        """
        account = session.scalar(select(Account).where(Account.subject == subject))
        if account is not None:
            return account
        email = normalise_email(email)
        known = session.scalar(select(Account).where(Account.email == email))
        if known is not None and known.verified_ms is not None:
            raise Refused("this address has an account with a password: log in with that")
        now = now_ms()
        if known is None:
            known = Account(id=new_id("acc"), email=email, role=USER, created_ms=now)
            session.add(known)
        known.password_hash, known.subject, known.verified_ms = None, subject, now
        session.flush()
        audit.record(session, "account registered", known.id, detail="by OpenID Connect")
        return known

    def _set_password(self, session: Session, account: Account, password: str) -> None:
        account.password_hash = hash_password(password)
        self._end_sessions(session, account.id)
        audit.record(session, "password changed", account.id)

    def _end_sessions(self, session: Session, account_id: str) -> None:
        session.execute(delete(LoginSession).where(LoginSession.account_id == account_id))

    def _mailed(self, session: Session, account_id: str, purpose: str, hours: int) -> str:
        token = new_token()
        session.add(
            MailedToken(
                hash=token_hash(token),
                account_id=account_id,
                purpose=purpose,
                expires_ms=now_ms() + hours * HOUR_MS,
            )
        )
        return token

    def _drop_mailed(self, session: Session, account_id: str, purpose: str) -> None:
        session.execute(
            delete(MailedToken).where(
                MailedToken.account_id == account_id, MailedToken.purpose == purpose
            )
        )

    def _find_mailed(self, session: Session, token: str, purpose: str) -> MailedToken:
        row = session.get(MailedToken, token_hash(token), with_for_update=True)
        if row is None or row.purpose != purpose or row.used_ms or row.expires_ms <= now_ms():
            raise Refused("this link is wrong, was used already, or is too old")
        return row


def may_log_in(account: Account) -> bool:
    return account.verified_ms is not None and account.closed_ms is None


def normalise_email(email: str) -> str:
    """Lower case, without spaces around.

    Raises:
        Refused: it is no address.
    """
    email = email.strip().lower()
    if len(email) > 254 or not ADDRESS.fullmatch(email) or not email.isprintable():
        raise Refused("that is no mail address", "email")
    return email


def set_role(session: Session, email: str, role: str, actor_id: str) -> None:
    """Raises NoSuchThing if there is no such account, Refused if there is no such role."""
    if role not in ROLES:
        raise Refused(f"{role!r} is none of {', '.join(ROLES)}", "role")
    account = session.scalar(select(Account).where(Account.email == normalise_email(email)))
    if account is None:
        raise NoSuchThing(f"there is no account of {email}")
    account.role = role
    audit.record(session, "role changed", account.id, actor_id, role)


def forget_old(session: Session) -> None:
    """Delete sessions and mailed tokens that work no longer."""
    now = now_ms()
    session.execute(delete(LoginSession).where(LoginSession.expires_ms < now))
    session.execute(delete(MailedToken).where(MailedToken.expires_ms < now - DAY_MS))


def same(left: str, right: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return secrets.compare_digest(left.encode(), right.encode())

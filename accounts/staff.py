"""Who has which roles (``common/roles.yaml``): by hand, or by groups of a provider of logins."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.errors import InvalidValueError, NotFoundError
from accounts.people import normalise_email
from accounts.tables import USER, Account
from common.roles import read_roles

PROVIDER = "provider"
"""The actor where groups of a provider of logins have changed somebody's roles."""


@dataclass(frozen=True)
class Member:
    """Somebody who has a role beside that of a customer."""

    account_id: str
    email: str
    roles: tuple[str, ...]
    by_provider: bool
    """Whether the person logs in by a provider, whose groups may say what the roles are."""


def set_roles(
    session: Session, email: str, roles: Collection[str], actor_id: str, why: str = ""
) -> None:
    """Give an account these roles and no others; none is ``user``.

    Raises:
        NotFoundError: for an unknown address.
        InvalidValueError: for an unknown role.
    """
    known = read_roles().roles
    if unknown := [role for role in roles if role not in known]:
        raise InvalidValueError(f"{unknown[0][:40]!r} is none of {', '.join(known)}", "roles")
    account = session.scalar(
        select(Account).where(Account.email == normalise_email(email)).with_for_update()
    )
    if account is None:
        raise NotFoundError(f"there is no account of {email}")
    _change(session, account, _text(roles), actor_id, why)


def take_groups(
    session: Session, account: Account, groups: Collection[str], roles: Mapping[str, str]
) -> None:
    """Give an account the roles of the groups that a provider of logins says it is in.

    Args:
        roles: by group; nothing is changed where there are none.
    """
    if roles:
        mine = sorted(set(groups) & set(roles))
        why = f"groups: {', '.join(mine)}" if mine else "in no group with a role"
        _change(session, account, _text([roles[group] for group in mine]), PROVIDER, why)


def members(session: Session) -> list[Member]:
    """Those who have a role beside that of a customer, by address."""
    with_a_role = (Account.role != USER, Account.email.is_not(None))
    rows = session.scalars(select(Account).where(*with_a_role).order_by(Account.email))
    return [
        Member(row.id, row.email or "", tuple(row.role.split()), row.subject is not None)
        for row in rows
    ]


def _text(roles: Collection[str]) -> str:
    """As the column has them: in the table's order, each once."""
    named: Sequence[str] = [role for role in read_roles().roles if role in roles and role != USER]
    return " ".join(named) or USER


def _change(session: Session, account: Account, roles: str, actor_id: str, why: str) -> None:
    if account.role != roles:
        detail = f"{account.role} to {roles}"
        account.role = roles
        audit.record(session, "role changed", account.id, actor_id, detail, why)

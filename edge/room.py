"""Whether there is room for a request where every replica of the check can see it: in its events.

A month's quota, an account's share of what is under way and the day's tries without a key are
counted in the transaction that admits; what may be close to its limit alone is counted at all
(``edge.check``). Quota and tries are counted under a lock, so that they are exact; shares without
one, so that two replicas which admit in the same few milliseconds may let one more through each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Table, case, func, select, tuple_
from sqlalchemy.dialects import mysql, sqlite

from accounts.clock import month_of, now_ms
from accounts.house import HOUSE
from accounts.tables import BILLED, INTENT, ApiKey, Event, QuotaMonth
from edge.records import Admitted, Intent

LOST_MS = 150_000
"""An intent that is older is of a request that has ended: no route lets one last that long."""
AFTER = "~"
"""Sorts after everything that a request id of a try goes on with."""

_EVENTS = cast(Table, Event.__table__)
_MONTHS = cast(Table, QuotaMonth.__table__)
_NO_ROW_YET = {
    "sqlite": sqlite.insert(_MONTHS).on_conflict_do_nothing(),
    "mysql": mysql.insert(_MONTHS).prefix_with("IGNORE"),
}


@dataclass
class Room:
    """Attributes:
    refused: what there is no room for, by the intent's place in the batch.
    left: tries that there are left after one that is admitted, likewise.
    """

    refused: dict[int, Admitted] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)


def find_room(connection: Connection, intents: Sequence[Intent]) -> Room:
    """Of intents that are to be admitted together, in their order."""
    room = Room()
    asked = dict(enumerate(intents))
    _count_tries(connection, {n: i for n, i in asked.items() if i.tried is not None}, room)
    _count_shares(connection, {n: i for n, i in asked.items() if i.share is not None}, room)
    with_quota = {n: i for n, i in asked.items() if i.quota is not None and n not in room.refused}
    _count_quotas(connection, with_quota, room)
    return room


def _count_tries(connection: Connection, asked: dict[int, Intent], room: Room) -> None:
    if not asked:
        return
    connection.execute(select(ApiKey.id).where(ApiKey.id == HOUSE).with_for_update())
    counts: dict[str, list[int]] = {}
    for number, intent in asked.items():
        tried = intent.tried
        assert tried is not None
        for prefix in (tried.day, tried.address):
            if prefix not in counts:
                counts[prefix] = _under(connection, prefix)
        of_all, of_address = counts[tried.day], counts[tried.address]
        left = min(tried.per_address - of_address[0], tried.in_all - of_all[0])
        if left <= 0:
            room.refused[number] = Admitted.NO_TRIES
        elif of_address[1] >= tried.at_once:
            room.refused[number] = Admitted.TOO_MANY
        else:
            room.left[number] = left - 1
            for count in (of_all, of_address):
                count[0] += 1
                count[1] += 1


def _under(connection: Connection, prefix: str) -> list[int]:
    """How many tries there were, and how many of them are under way."""
    found = connection.execute(
        select(func.count(), func.sum(case((_under_way(), 1), else_=0))).where(
            _EVENTS.c.account_id == HOUSE,
            _EVENTS.c.request_id >= prefix,
            _EVENTS.c.request_id < prefix + AFTER,
        )
    ).one()
    return [int(found[0]), int(found[1] or 0)]


def _count_shares(connection: Connection, asked: dict[int, Intent], room: Room) -> None:
    if not asked:
        return
    # Of all accounts: what is under way is little beside what an account has had.
    counts = Counter(
        {
            account: int(count)
            for account, count in connection.execute(
                select(_EVENTS.c.account_id, func.count())
                .where(_under_way())
                .group_by(_EVENTS.c.account_id)
            )
        }
    )
    full = [i for i in asked.values() if counts[i.account_id] + len(asked) > cast(int, i.share)]
    # Another attempt under an id that is under way takes no further place.
    counted = _ids_in(connection, full, INTENT)
    for number, intent in asked.items():
        if (intent.account_id, intent.request_id) in counted:
            continue
        if counts[intent.account_id] >= cast(int, intent.share):
            room.refused[number] = Admitted.TOO_MANY
        else:
            counts[intent.account_id] += 1


def _count_quotas(connection: Connection, asked: dict[int, Intent], room: Room) -> None:
    if not asked:
        return
    month = month_of(now_ms())
    families = sorted({intent.family for intent in asked.values()})
    rows = [{"family": family, "month": month, "requests": 0} for family in families]
    connection.execute(_NO_ROW_YET[connection.dialect.name], rows)
    of_months = (_MONTHS.c.family.in_(families), _MONTHS.c.month == month)
    used = {
        family: int(requests)
        for family, requests in connection.execute(
            select(_MONTHS.c.family, _MONTHS.c.requests)
            .where(*of_months)
            .order_by(_MONTHS.c.family)
            .with_for_update()
        )
    }
    places: dict[str, set[str]] = {family: set() for family in families}
    for family, request_id in connection.execute(
        select(ApiKey.family, _EVENTS.c.request_id)
        .join_from(_EVENTS, ApiKey, ApiKey.id == _EVENTS.c.key_id)
        .where(_under_way(), ApiKey.family.in_(families))
    ):
        places[family].add(request_id)
    # What was billed is not billed again, and takes no place.
    billed = _ids_in(connection, asked.values(), BILLED)
    for number, intent in asked.items():
        taken = places[intent.family]
        if intent.request_id in taken or (intent.account_id, intent.request_id) in billed:
            continue
        if used[intent.family] + len(taken) >= cast(int, intent.quota):
            room.refused[number] = Admitted.NO_ROOM
        else:
            taken.add(intent.request_id)


def _under_way() -> Any:
    return (_EVENTS.c.state == INTENT) & (_EVENTS.c.started_ms > now_ms() - LOST_MS)


def _ids_in(connection: Connection, intents: Iterable[Intent], state: str) -> set[tuple[str, str]]:
    """Those whose events are in a state, by account and request id."""
    owns = [(intent.account_id, intent.request_id) for intent in intents]
    if not owns:
        return set()
    found = connection.execute(
        select(_EVENTS.c.account_id, _EVENTS.c.request_id).where(
            tuple_(_EVENTS.c.account_id, _EVENTS.c.request_id).in_(owns), _EVENTS.c.state == state
        )
    )
    return {(account, request) for account, request in found}

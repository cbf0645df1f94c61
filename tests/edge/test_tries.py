"""Who has no key gets a few answers a day, on the house's bill, and no more."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from accounts.clock import DAY_MS, now_ms
from accounts.house import HOUSE, open_house
from accounts.keys import KeyRequest, make_key
from accounts.tables import Event
from accounts.usage import per_account
from edge import check as check_module
from edge.check import Check
from edge.directory import Directory
from edge.ledger import Ledger, LedgerDownError
from edge.tries import MAX_AT_ONCE, MAX_BYTES, TryLimits
from tests.edge.test_check import PREDICT, Edge

LIMITS = TryLimits(per_address=3, in_all=5, trusted_proxies=1)


class Strangers(Edge):
    """An edge that gives tries."""

    def __init__(self, directory, ledger, limits=LIMITS):
        super().__init__(directory, ledger)
        self.check = Check(directory, ledger, self.in_flight, limits)

    async def try_once(self, address="192.0.2.1", request_id="r1", **headers):
        return await self.ask(None, request_id, **{"x-forwarded-for": address, **headers})

    async def tried(self, address="192.0.2.1", **headers):
        """The status of a try that is answered at once."""
        answer = await self.try_once(address, **headers)
        if not answer.HasField("ok_response"):
            return answer.denied_response.status.code
        await self.end(answer)
        await self.log(answer, 200)
        return 200


@pytest.fixture
def edge(directory, ledger, session):
    open_house(session, 10_000)
    session.commit()
    return Strangers(directory, ledger)


async def test_an_address_has_its_tries_and_is_told_how_many_are_left(edge):
    for left in (2, 1, 0):
        answer = await edge.try_once()
        (header,) = answer.ok_response.response_headers_to_add
        assert (header.header.key, header.header.value) == ("x-tries-left", str(left))
        await edge.end(answer)
        await edge.log(answer, 200)
    refused = (await edge.try_once()).denied_response
    assert refused.status.code == 429
    assert '"code": "tries_used_up"' in refused.body
    waits = {o.header.key: o.header.value for o in refused.headers}
    assert 0 < int(waits["retry-after"]) <= 86_400
    assert await edge.tried("192.0.2.2") == 200


async def test_all_together_have_theirs(edge):
    said = [await edge.tried(f"192.0.2.{n}") for n in range(7)]
    assert said == [200] * 5 + [429] * 2


async def test_they_are_new_every_day(edge, monkeypatch):
    assert [await edge.tried() for _ in range(4)] == [200, 200, 200, 429]
    monkeypatch.setattr(check_module, "now_ms", lambda: now_ms() + DAY_MS)
    assert await edge.tried() == 200


async def test_only_what_our_own_proxies_say_tells_who_it_is(edge):
    """What the sender writes in front of it makes nobody another; all of an IPv6 network is one."""
    said = [await edge.tried(f"10.0.0.{n}, 192.0.2.1") for n in range(4)]
    assert said == [200, 200, 200, 429]
    assert [await edge.tried(f"2001:db8::{n}") for n in range(3)] == [200, 200, 429]


async def test_without_a_proxy_the_connection_tells(directory, ledger, session):
    edge = Strangers(directory, ledger, TryLimits(per_address=1, in_all=9))
    open_house(session, 10)
    session.commit()
    assert [await edge.tried(f"192.0.2.{n}") for n in range(2)] == [200, 429]


async def test_of_many_at_once_few_are_under_way_and_the_rest_cost_nothing(edge):
    # Fewer than the house's rate lets through in a second, which counts those refused as well.
    asked = await asyncio.gather(*(edge.try_once(request_id=f"r{n}") for n in range(12)))
    through = [answer for answer in asked if answer.HasField("ok_response")]
    assert len(through) == MAX_AT_ONCE
    for answer in through:
        await edge.end(answer)
        await edge.log(answer, 200)
    assert [await edge.tried() for _ in range(2)] == [200, 429]


async def test_they_are_on_the_houses_bill(edge, session):
    await edge.tried()
    (used,) = per_account(session, 0, now_ms() + DAY_MS)
    assert (used.account_id, used.requests) == (HOUSE, 1)


async def test_the_senders_own_id_is_not_used(edge):
    """Strangers share an account: one would get the other's answer, or block it."""
    answer = await edge.try_once(request_id="mine")
    headers = {o.header.key: o.header.value for o in answer.ok_response.headers}
    assert headers["x-request-id"] != "mine"
    assert headers["x-account-id"] == HOUSE


async def test_the_houses_quota_is_on_record(directory, ledger, session):
    """Whatever the day's tries are, the month may cost no more."""
    open_house(session, 1)
    session.commit()
    assert await Strangers(directory, ledger).tried() == 200
    assert await Strangers(directory, ledger).tried() == 429


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": ""}, 411),
        ({"content-length": str(MAX_BYTES + 1)}, 413),
        ({"content-length": "9" * 5000}, 413),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin", "content-length": str(MAX_BYTES)}, 200),
        ({"authorization": "Bearer vk_wrong"}, 401),
    ],
)
async def test_a_try_is_small_and_from_our_own_page(edge, headers, status):
    assert await edge.tried(**headers) == status


async def test_nothing_else_is_open_without_a_key(edge):
    for path in ("/v1/models", "/v1/models/mnist", "/v2/models/mnist/ready"):
        assert await edge.status(None, path=path, method="GET") == 401
    assert await edge.status(None, path="/v2/repository/models/mnist/load") == 401


async def test_without_the_setting_there_are_none(directory, ledger, session):
    open_house(session, 10)
    session.commit()
    assert await Strangers(directory, ledger, TryLimits()).tried() == 401


async def test_the_houses_key_is_nobodys_to_send(edge):
    for text in ("house", "vk_house"):
        assert await edge.status(text, path=PREDICT) == 401


async def test_with_a_key_nothing_is_counted(edge, session, account):
    key = make_key(session, account.id, KeyRequest("k")).key
    session.commit()
    assert await edge.status(key) == 200
    assert [await edge.tried() for _ in range(4)] == [200, 200, 200, 429]


async def test_who_has_had_theirs_reaches_the_database_no_more(edge, ledger, monkeypatch):
    assert [await edge.tried() for _ in range(4)] == [200, 200, 200, 429]

    async def down(_):
        raise LedgerDownError

    monkeypatch.setattr(ledger, "admit", down)
    assert await edge.tried() == 429
    assert await edge.tried("192.0.2.2") == 503


async def test_two_replicas_count_the_same_tries(edge, engine, session):
    second = Ledger(engine)
    second.start()
    other = Strangers(Directory(second), second)
    said = [await replica.tried() for replica in (edge, other, edge, other, edge)]
    second.stop()
    assert said == [200, 200, 200, 429, 429]
    assert not any("192.0.2" in name for name in session.scalars(select(Event.request_id)))

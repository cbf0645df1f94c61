import asyncio

import pytest
from envoy.service.accesslog.v3 import als_pb2 as als
from envoy.service.auth.v3 import external_auth_pb2 as auth
from envoy.service.ext_proc.v3 import external_processor_pb2 as proc
from sqlalchemy import select

from accounts.captures import Choice, choose
from accounts.clock import now_ms
from accounts.events import reconcile
from accounts.keys import GIVES_FEEDBACK, KeyRequest, make_key, revoke_key, rotate_key
from accounts.tables import Account, ApiKey, Event, Prediction, UsageHour
from common.predicted import from_header
from edge import directory as directory_module
from edge.check import Check
from edge.endings import Endings
from edge.in_flight import BEING_READ, LOST_SECONDS, InFlight
from edge.ledger import LedgerDownError
from edge.metadata import NAMESPACE
from edge.meter import Meter
from tests.accounts.conftest import add_account
from tests.edge.conftest import CONTENT, OTHER_CONTENT

PREDICT = "/v1/models/mnist:predict"


class Edge:
    """A check and a meter, asked as Envoy does."""

    def __init__(self, directory, ledger):
        self.in_flight = InFlight(max_per_account=20)
        self.refresh = directory.refresh
        self.check = Check(directory, ledger, self.in_flight)
        self.meter = Meter(ledger, self.in_flight)
        self.endings = Endings(ledger, self.in_flight)

    async def ask(self, key, request_id="r1", path=PREDICT, method="POST", **headers):
        request = auth.CheckRequest()
        http = request.attributes.request.http
        http.method, http.path = method, path
        http.headers.update({"x-request-id": request_id, "content-length": "500", **headers})
        if key is not None:
            http.headers["authorization"] = f"Bearer {key}"
        answer = auth.CheckResponse.FromString(await self.check.check(request.SerializeToString()))
        return answer

    async def status(self, key, request_id="r1", **arguments):
        answer = await self.ask(key, request_id, **arguments)
        if answer.HasField("ok_response"):
            assert answer.status.code == 0
            return 200
        assert answer.status.code != 0
        return answer.denied_response.status.code

    async def end(self, answer, status="200", **headers):
        """Report an answer for a request that was let through."""
        request = proc.ProcessingRequest()
        own = {"x-model-revision": "2", "x-model-instances": "1", "x-model-pixels": "784"}
        own |= {"x-model-content": CONTENT, "x-model-received-bytes": "500"}
        for name, value in {":status": status, "content-length": "90", **own, **headers}.items():
            if value is not None:
                item = request.response_headers.headers.headers.add()
                item.key, item.raw_value = name, value.encode()
        request.metadata_context.filter_metadata[NAMESPACE].CopyFrom(answer.dynamic_metadata)
        data = await self.meter.answer(request.SerializeToString())
        return proc.ProcessingResponse.FromString(data)

    async def log(self, answer, status=0, milliseconds=0):
        """Report the end of a request, as Envoy's access log does; status 0: the client left."""
        message = als.StreamAccessLogsMessage()
        entry = message.http_logs.log_entry.add()
        entry.response.response_code.value = status
        entry.common_properties.duration.FromMilliseconds(milliseconds)
        entry.common_properties.metadata.filter_metadata[NAMESPACE].CopyFrom(
            answer.dynamic_metadata
        )
        await self.endings.take(message.SerializeToString())


@pytest.fixture
def edge(directory, ledger):
    return Edge(directory, ledger)


def key_of(session, account, **wishes):
    shown = make_key(session, account.id, KeyRequest(**{"name": "k", **wishes}))
    session.commit()
    return shown


async def test_who_is_let_through_is_named_and_the_key_is_taken_off(edge, session, account):
    key = key_of(session, account)
    answer = await edge.ask(key.key, "abc")
    headers = {o.header.key: o.header.value for o in answer.ok_response.headers}
    assert headers == {"x-account-id": account.id, "x-key-id": key.id, "x-request-id": "abc"}
    assert set(answer.ok_response.headers_to_remove) == {
        "authorization",
        "cookie",
        "x-expected-content",
        "x-vision-capture",
        "x-vision-mirror",
        "x-vision-shadow",
        "x-vision-upstream",
    }
    assert key.key not in str(answer)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Basic dTpw", "vk_"])
async def test_no_key_is_401(edge, authorization):
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await edge.ask(None, **headers)
    assert answer.denied_response.status.code == 401
    assert '"code": "unauthorized"' in answer.denied_response.body


async def test_keys_that_do_not_work_are_401(edge, session, account):
    revoked, expired, rotated, closed = (key_of(session, account) for _ in range(4))
    other = Account(id="acc_2", role="user", created_ms=1, verified_ms=1, closed_ms=2)
    session.add(other)
    session.flush()
    session.get_one(ApiKey, closed.id).account_id = "acc_2"
    session.get_one(ApiKey, expired.id).expires_ms = now_ms() - 1
    revoke_key(session, account.id, revoked.id)
    new = rotate_key(session, account.id, rotated.id)
    session.commit()
    for key in (revoked, expired, rotated, closed):
        assert await edge.status(key.key) == 401
    assert await edge.status(new.key) == 200


async def test_a_key_is_for_its_models(edge, session, account):
    key = key_of(session, account, scopes=("mnist", "cifar"))
    assert await edge.status(key.key) == 200
    assert await edge.status(key.key, path="/v1/models/fashion-mnist:predict") == 403
    assert await edge.status(key.key, path="/v1/models/fashion-mnist", method="GET") == 403
    assert await edge.status(key.key, path="/v2/health/ready", method="GET") == 200


async def test_what_is_not_listed_is_404_only_for_who_has_a_key(edge, session, account):
    path = "/v2/repository/models/mnist/unload"
    assert await edge.status(None, path=path) == 401
    assert await edge.status(key_of(session, account).key, path=path) == 404


async def test_over_the_rate_is_429(edge, session, account):
    key = key_of(session, account, rate_per_second=2)
    said = [await edge.status(key.key, f"r{n}") for n in range(3)]
    assert said == [200, 200, 429]
    answer = await edge.ask(key.key, "r3")
    headers = {o.header.key: o.header.value for o in answer.denied_response.headers}
    assert headers["retry-after"] == "1"


async def test_over_the_quota_is_429_until_next_month(edge, session, account):
    key = key_of(session, account, quota_requests=2)
    for name in ("r1", "r2"):
        await edge.end(await edge.ask(key.key, name))
    answer = await edge.ask(key.key, "r3")
    assert answer.denied_response.status.code == 429
    headers = {o.header.key: o.header.value for o in answer.denied_response.headers}
    assert 0 < int(headers["retry-after"]) <= 31 * 86400
    assert await edge.status(key.key, "r2") == 200
    assert await edge.status(key.key, path="/v1/models/mnist", method="GET") == 200


async def test_a_quota_is_kept_by_requests_at_once_and_given_back_by_failures(
    edge, directory, session, account
):
    key = key_of(session, account, quota_requests=3)
    asked = await asyncio.gather(*(edge.ask(key.key, f"r{n}") for n in range(10)))
    through = [answer for answer in asked if answer.HasField("ok_response")]
    assert len(through) == 3
    await edge.end(through[0], "503")
    assert await edge.status(key.key, "again") == 200
    await directory.refresh()
    assert await edge.status(key.key, "more") == 429


async def test_rotating_does_not_refill_a_quota(edge, session, account):
    key = key_of(session, account, quota_requests=1)
    await edge.end(await edge.ask(key.key))
    new = rotate_key(session, account.id, key.id)
    session.commit()
    assert await edge.status(new.key, "r2") == 429


async def test_a_revoked_key_is_refused_at_the_next_reading(edge, directory, session, account):
    key = key_of(session, account)
    assert await edge.status(key.key) == 200
    revoke_key(session, account.id, key.id)
    session.commit()
    await directory.refresh()
    assert await edge.status(key.key, "r2") == 401


def test_readings_are_often_enough_for_five_seconds():
    assert directory_module.REFRESH_SECONDS < directory_module.MAX_AGE_SECONDS < 5


async def test_what_cannot_be_read_again_fails_closed(edge, ledger, session, account, monkeypatch):
    key = key_of(session, account)
    assert await edge.status(key.key) == 200

    async def down(_):
        raise LedgerDownError

    monkeypatch.setattr(ledger, "look_up", down)
    assert await edge.status(key.key, "r2") == 200
    monkeypatch.setattr(directory_module, "MAX_AGE_SECONDS", 0.0)
    assert await edge.status(key.key, "r3") == 503


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "é"])
async def test_odd_request_ids_are_refused(edge, session, account, request_id):
    assert await edge.status(key_of(session, account).key, request_id) == 400


async def test_an_id_of_another_request_is_409(edge, session, account):
    key = key_of(session, account)
    assert await edge.status(key.key) == 200
    answer = await edge.ask(key.key, **{"content-length": "501"})
    assert answer.denied_response.status.code == 409


async def test_the_model_server_is_told_what_a_used_id_belongs_to(edge, session, account):
    key = key_of(session, account)
    await edge.end(await edge.ask(key.key))
    answer = await edge.ask(key.key)
    headers = {o.header.key: o.header.value for o in answer.ok_response.headers}
    assert headers["x-expected-content"] == CONTENT
    assert "x-expected-content" not in answer.ok_response.headers_to_remove


async def test_an_answer_to_something_else_does_not_leave(edge, session, account):
    key = key_of(session, account)
    first, second = await edge.ask(key.key), await edge.ask(key.key)
    await edge.end(first)
    response = await edge.end(second, **{"x-model-content": OTHER_CONTENT})
    assert response.immediate_response.status.code == 409
    assert b"request_id_reused" in response.immediate_response.body
    assert reconcile(session).billed == 1


async def test_attempts_under_one_id_share_a_place_of_the_quota(edge, session, account):
    key = key_of(session, account, quota_requests=1)
    first, second = await edge.ask(key.key), await edge.ask(key.key)
    await edge.end(first, "503")
    # The second may be billed yet.
    assert await edge.status(key.key, "other") == 429
    await edge.end(second)
    assert await edge.status(key.key, "other") == 429
    assert reconcile(session).billed == 1


async def test_an_answer_is_on_record_before_it_leaves(edge, session, account):
    key = key_of(session, account)
    response = await edge.end(await edge.ask(key.key))
    removed = response.response_headers.response.header_mutation.remove_headers
    names = ("revision", "instances", "pixels", "content", "received-bytes")
    assert set(removed) == {f"x-model-{name}" for name in names}
    event = session.scalars(select(Event)).one()
    assert (event.state, event.model, event.revision) == ("billed", "mnist", "2")
    assert (event.key_id, event.instances, event.pixels) == (key.id, 1, 784)
    assert (event.request_bytes, event.response_bytes, event.status) == (500, 90, 200)


@pytest.mark.parametrize("status", ["400", "413", "500", "503"])
async def test_failures_cost_nothing(edge, session, account, status):
    answer = await edge.ask(key_of(session, account).key)
    await edge.end(answer, status, **{"x-model-instances": None, "x-model-pixels": None})
    found = reconcile(session)
    assert (found.failed, found.billed, found.in_windows) == (1, 0, 0)


@pytest.mark.parametrize("header", ["x-model-pixels", "x-model-content"])
async def test_a_prediction_that_does_not_say_what_it_is_does_not_leave(
    edge, session, account, header
):
    answer = await edge.ask(key_of(session, account).key)
    response = await edge.end(answer, **{header: None})
    assert response.immediate_response.status.code == 502
    assert reconcile(session).billed == 0


async def test_copies_are_sent_of_what_an_account_lets_us_keep(edge, session, account):
    choose(session, account.id, Choice("mnist", 100, 1 << 20, 30))
    session.commit()
    gives = key_of(session, account, scopes=("*", GIVES_FEEDBACK))
    plain = key_of(session, account)

    async def copied(key, name, path=PREDICT):
        answer = await edge.ask(key, name, path, **{"x-vision-capture": "console"})
        ok = answer.ok_response
        headers = {o.header.key: o.header.value for o in ok.headers}
        assert ("x-vision-capture" in ok.headers_to_remove) != ("x-vision-capture" in headers)
        return headers.get("x-vision-capture")

    assert await copied(gives.key, "a") == "capture"
    assert await copied(gives.key, "b", "/v1/models/fashion-mnist:predict") is None
    assert await copied(plain.key, "c") is None
    choose(session, account.id, Choice("mnist", 50, 1 << 20, 30))
    session.commit()
    await edge.refresh()
    said = [await copied(gives.key, str(number)) for number in range(16)]
    assert 0 < said.count("capture") < 16  # but for once in 2^15


async def test_what_was_predicted_is_kept_of_keys_that_give_feedback(edge, session, account):
    gives = key_of(session, account, scopes=("*", GIVES_FEEDBACK))
    said = {"x-model-predicted": "7:999000,3:510000?"}
    answer = await edge.end(await edge.ask(gives.key), **said)
    removed = answer.response_headers.response.header_mutation.remove_headers
    assert "x-model-predicted" in removed
    await edge.end(await edge.ask(gives.key, "damaged"), **{"x-model-predicted": "7"})
    await edge.end(await edge.ask(gives.key, "failed"), "500", **said)
    await edge.end(await edge.ask(key_of(session, account).key, "other"), **said)
    # Given again, of another revision perhaps: the first answer is what was billed.
    await edge.end(await edge.ask(gives.key), **{"x-model-predicted": "1:999000"})
    (kept,) = session.scalars(select(Prediction))
    assert (kept.request_id, kept.revision) == ("r1", "2")
    assert from_header(kept.predicted) == [("7", 0.999, False), ("3", 0.51, True)]


async def test_what_cannot_be_recorded_does_not_leave(edge, ledger, session, account, monkeypatch):
    answer = await edge.ask(key_of(session, account).key)

    async def down(_):
        raise LedgerDownError

    monkeypatch.setattr(ledger, "complete", down)
    assert (await edge.end(answer)).immediate_response.status.code == 503
    monkeypatch.setattr(ledger, "admit", down)
    assert await edge.status(key_of(session, account).key, "r2") == 503


async def test_an_answer_to_nobody_passes(edge):
    response = await edge.end(auth.CheckResponse(), "401")
    assert not response.HasField("immediate_response")


async def test_a_client_that_goes_away_is_metered_and_not_billed(edge, session, account):
    key = key_of(session, account)
    await edge.log(await edge.ask(key.key), milliseconds=1500)
    event = session.scalars(select(Event)).one()
    assert (event.state, event.status, event.unanswered_milliseconds) == ("failed", 499, 1500)
    window = session.scalars(select(UsageHour)).one()
    assert (window.requests, window.failures, window.unanswered_milliseconds) == (0, 1, 1500)
    session.rollback()
    await edge.end(await edge.ask(key.key))
    assert reconcile(session).billed == 1


async def test_what_took_too_long_is_metered_once(edge, session, account):
    answer = await edge.ask(key_of(session, account).key)
    await edge.end(answer, "504")
    await edge.log(answer, 504, 60_000)
    window = session.scalars(select(UsageHour)).one()
    assert window.failures == 1
    assert 0 <= window.unanswered_milliseconds < 60_000


async def test_the_end_of_an_answer_changes_nothing(edge, session, account):
    answer = await edge.ask(key_of(session, account).key)
    await edge.end(answer)
    await edge.log(answer, 200, 10)
    await edge.log(answer, 0, 10)
    event = session.scalars(select(Event)).one()
    assert (event.state, event.unanswered_milliseconds) == ("billed", 0)
    assert session.scalars(select(UsageHour)).one().failures == 0


async def test_an_attempt_given_up_beside_its_repeat_is_metered(edge, session, account):
    key = key_of(session, account)
    first, second = await edge.ask(key.key), await edge.ask(key.key)
    await edge.log(first, milliseconds=700)
    event = session.scalars(select(Event)).one()
    assert (event.state, event.unanswered_milliseconds) == ("intent", 700)
    session.rollback()
    await edge.end(second)
    event = session.scalars(select(Event)).one()
    assert (event.state, event.unanswered_milliseconds) == ("billed", 700)


async def test_a_repeat_that_is_given_up_gives_its_place_back(edge, session, account):
    key = key_of(session, account)
    await edge.end(await edge.ask(key.key))
    for _ in range(20):
        repeat = await edge.ask(key.key)
        assert repeat.HasField("ok_response")
        await edge.log(repeat)
    assert session.scalars(select(Event)).one().answers == 1


async def test_an_end_after_a_restart_tells_by_the_event(edge, session, account):
    key = key_of(session, account)
    answered, given_up = await edge.ask(key.key, "a"), await edge.ask(key.key, "b")
    await edge.end(answered)
    edge.in_flight.forget_all()
    await edge.log(answered, 200)
    await edge.log(given_up, milliseconds=9)
    states = {e.request_id: (e.state, e.status) for e in session.scalars(select(Event))}
    assert states == {"a": ("billed", 200), "b": ("failed", 499)}


async def test_an_account_has_a_share_of_what_is_under_way(edge, session, account):
    first, second = key_of(session, account), key_of(session, account)
    other = key_of(session, add_account(session, "bob@example.org"))
    through = [await edge.ask(first.key, f"r{n}") for n in range(10)]
    looks = [await edge.ask(second.key, path="/v1/models/mnist", method="GET") for _ in range(10)]
    assert all(answer.HasField("ok_response") for answer in through + looks)
    refused = await edge.ask(second.key, "r99")
    assert refused.denied_response.status.code == 429
    assert "too_many_in_flight" in refused.denied_response.body
    assert await edge.status(other.key) == 200
    await edge.end(through[0])
    assert await edge.status(first.key, "r99") == 200
    assert await edge.status(first.key, "r100") == 429
    await edge.log(looks[0], 200)
    assert await edge.status(first.key, "r101") == 200
    assert await edge.status(first.key, "r102") == 429


async def test_answers_that_are_read_slowly_have_a_bound_too(edge, session, account):
    key = key_of(session, account, rate_per_second=1000)
    for number in range(BEING_READ * 20):
        answer = await edge.ask(key.key, f"r{number}")
        await edge.end(answer)
    assert await edge.status(key.key, "more") == 429
    await edge.log(answer, 200)
    assert await edge.status(key.key, "more") == 200


async def test_what_is_refused_takes_no_place(edge, session, account):
    key = key_of(session, account, quota_requests=0, rate_per_second=100)
    for number in range(50):
        assert await edge.status(key.key, f"r{number}") == 429
    assert edge.in_flight._attempts == {}


def test_ends_that_are_never_heard_of_do_not_count_for_ever():
    in_flight = InFlight(max_per_account=1)
    assert in_flight.begin("a", 1, now=0.0)
    assert not in_flight.begin("a", 2, now=100.0)
    assert in_flight.begin("a", 3, now=LOST_SECONDS + 1)


async def test_a_request_that_could_not_be_judged_is_not_under_way(
    directory, ledger, session, account
):
    class Broken:
        def find(self, *_):
            raise RuntimeError

    key = key_of(session, account)
    in_flight = InFlight(max_per_account=20)
    edge = Edge(directory, ledger)
    edge.check = Check(directory, ledger, in_flight, assignments=Broken())
    assert await edge.status(key.key) == 500
    assert in_flight.count == in_flight.waiting(account.id) == 0

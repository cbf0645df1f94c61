"""What was answered is what is billed, for every content, request id and race."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from accounts.answers import read_answers, reconcile_answers
from accounts.events import reconcile
from accounts.keys import ShownKey
from accounts.tables import Event
from tests.conftest import ROOT
from tests.edge.stack import Stack, with_models
from tests.end_to_end.conftest import distinct_pngs

PREDICT = "/v1/models/mnist:predict"
SEVEN = (ROOT / "samples" / "seven.png").read_bytes()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("billing")
    with with_models(folder, f"sqlite:///{folder}/accounts.db") as stack:
        yield stack


@dataclass(frozen=True)
class Sent:
    status: int
    document: dict[str, object]

    @property
    def instances(self) -> int:
        predictions = self.document.get("predictions", [])
        assert isinstance(predictions, list)
        return len(predictions) if self.status == 200 else 0


def send(
    stack: Stack,
    key: ShownKey,
    body: bytes,
    request_id: str,
    content_type: str = "application/json",
    chunked: bool = False,
    path: str = PREDICT,
) -> Sent:
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports.edge, timeout=30)
    headers = {
        "authorization": f"Bearer {key.key}",
        "x-request-id": request_id,
        "content-type": content_type,
    }
    sent = iter([body]) if chunked else body
    connection.request("POST", path, sent, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return Sent(answer.status, json.loads(text))


def send_all(
    stack: Stack, key: ShownKey, bodies: Sequence[bytes], request_id: str, at_once: int = 25
) -> list[Sent]:
    """The bodies under one id, ``at_once`` in parallel."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda body: send(stack, key, body, request_id), bodies))


def document(pictures: Sequence[bytes], size: int = 0) -> bytes:
    """A request of these pictures, filled up with spaces to ``size`` bytes."""
    items = [{"base64": base64.b64encode(picture).decode()} for picture in pictures]
    return json.dumps({"instances": items}).encode().ljust(size)


def require_answered_is_billed(stack: Stack, key: ShownKey, sent: list[Sent]) -> None:
    """What clients saw, what the transformer counted and what is billed are the same."""
    with stack.session() as session:
        events = session.scalars(select(Event).where(Event.key_id == key.id)).all()
        billed = [event for event in events if event.state == "billed"]
        found = reconcile(session)
        log = stack.folder / "logs" / "transformer.log"
        answers = reconcile_answers(session, read_answers([log]))
    assert sum(event.instances for event in billed) == sum(item.instances for item in sent)
    assert (found.difference, found.instance_difference) == (0, 0)
    assert (answers.answered_not_billed, answers.billed_not_answered) == (0, 0)
    assert answers.instance_difference == 0


def test_other_pictures_of_the_same_length_are_not_repeats(stack: Stack) -> None:
    key = stack.key()
    pictures = [picture.ljust(4000, b"\0") for picture in distinct_pngs(14, 1)]
    sent = [send(stack, key, picture, "padded", "image/png") for picture in pictures]
    assert [item.status for item in sent] == [200] + [409] * 13
    assert {item.document.get("code") for item in sent[1:]} == {"request_id_reused"}
    require_answered_is_billed(stack, key, sent)


def test_chunked_bodies_of_any_size_are_not_repeats(stack: Stack) -> None:
    key = stack.key()
    pictures = distinct_pngs(55, 2)
    bodies = [document(pictures[:count]) for count in (1, 9, 45)]
    sent = [send(stack, key, body, "chunked", chunked=True) for body in bodies]
    assert [item.status for item in sent] == [200, 409, 409]
    require_answered_is_billed(stack, key, sent)


def test_a_cheap_request_pays_for_no_dear_ones(stack: Stack) -> None:
    key = stack.key(quota_requests=1)
    pictures = distinct_pngs(60, 3)
    dear = [document(pictures[n % 20 : n % 20 + 40]) for n in range(100)]
    cheap = document(pictures[:1], len(dear[0]))
    dear = [body.ljust(len(cheap)) for body in dear]
    sent = [send(stack, key, cheap, "cheap"), *send_all(stack, key, dear, "cheap")]
    assert [item.status for item in sent] == [200] + [409] * 100
    require_answered_is_billed(stack, key, sent)


def test_of_many_contents_at_once_under_one_id_one_is_answered(stack: Stack) -> None:
    key = stack.key()
    bodies = [document([picture]).ljust(3000) for picture in distinct_pngs(50, 4)]
    sent = send_all(stack, key, bodies, "race")
    assert sum(item.status == 200 for item in sent) == 1
    assert {item.status for item in sent} == {200, 409}
    require_answered_is_billed(stack, key, sent)


def test_repeats_at_once_are_the_same_answer_ten_times_at_most(stack: Stack) -> None:
    key = stack.key()
    body = document([SEVEN])
    sent = send_all(stack, key, [body] * 60, "same", 30)
    answered = [item for item in sent if item.status == 200]
    assert 1 <= len(answered) <= 10
    assert {item.status for item in sent} == {200, 409}
    # One content under one id is one prediction, however often it is said.
    assert all(item.document == answered[0].document for item in answered)
    require_answered_is_billed(stack, key, answered[:1])


@pytest.mark.parametrize("path", [f"{PREDICT}?top_k=2", "/v2/models/mnist/infer"])
def test_another_question_about_the_same_picture_is_another_content(
    stack: Stack, path: str
) -> None:
    key = stack.key()
    name = f"path {path}".replace(" ", "-")
    sent = [send(stack, key, SEVEN, name, "image/png")]
    other = send(stack, key, SEVEN, name, "image/png", path=path)
    assert (sent[0].status, other.status) == (200, 409)
    require_answered_is_billed(stack, key, sent)


def test_over_quota_nothing_passes_under_a_used_id(stack: Stack) -> None:
    key = stack.key(quota_requests=1)
    pictures = distinct_pngs(3, 5)
    bodies = [document([picture]).ljust(3000) for picture in pictures]
    sent = [send(stack, key, bodies[0], "quota")]
    assert send(stack, key, bodies[0], "quota").status == 200
    assert send(stack, key, bodies[1], "quota").status == 409
    assert send(stack, key, bodies[2], "another").status == 429
    require_answered_is_billed(stack, key, sent)

"""Whatever one customer does, another one is served; and what is given up is metered."""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy

from accounts.keys import ShownKey
from accounts.tables import Event
from tests.edge.stack import Client, Stack, with_stub
from tests.end_to_end.conftest import call
from tests.waiting import wait_until

PREDICT = "/v1/models/mnist:predict"
SHARE = 32
SECONDS = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("neighbours")
    with with_stub(folder, f"sqlite:///{folder}/accounts.db") as stack:
        yield stack


def half_sent(stack: Stack, key: ShownKey, chunked: bool) -> socket.socket:
    """A connection on which a request begins, and its body does not end."""
    connection = socket.create_connection(("127.0.0.1", stack.ports.edge), timeout=SECONDS)
    length = "transfer-encoding: chunked" if chunked else "content-length: 33554432"
    body = "1\r\na\r\n" if chunked else "a"
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key.key}\r\n{length}"
    connection.sendall(f"{head}\r\n\r\n{body}".encode())
    return connection


def status(connection: socket.socket) -> int:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status


@pytest.mark.parametrize("chunked", [False, True])
def test_half_sent_requests_of_one_stop_nobody_else(stack: Stack, chunked: bool) -> None:
    bad, good = stack.key(), stack.key()
    client = Client(stack.ports.edge, good.key)
    with ExitStack() as connections:
        held = [
            connections.enter_context(half_sent(stack, bad, chunked)) for _ in range(SHARE + 40)
        ]
        # Over its share it is refused at once: 40 of them, and not always the 40 sent last, since
        # what was sent first on another connection need not be read first.
        waiting = set(held)
        refused: list[int] = []

        def over_its_share_are_answered() -> bool:
            for connection in select.select(waiting, [], [], 0)[0]:
                waiting.remove(connection)
                refused.append(status(connection))
            return len(refused) >= 40

        wait_until(over_its_share_are_answered, SECONDS)
        assert refused == [429] * 40
        assert [client.predict(b"{}") for _ in range(50)] == [200] * 50
    # What it had under way is over, and its share is its own again.
    client.close()
    client = Client(stack.ports.edge, bad.key)
    wait_until(lambda: client.predict(b"{}") == 200, SECONDS)
    client.close()


def test_who_goes_away_is_metered(stack: Stack) -> None:
    key = stack.key()
    for number in range(3):
        with socket.create_connection(("127.0.0.1", stack.ports.edge)) as connection:
            connection.sendall(
                f"POST {PREDICT}?seconds=4 HTTP/1.1\r\nhost: x\r\nx-request-id: gone-{number}\r\n"
                f"authorization: Bearer {key.key}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
            )
            time.sleep(0.5)

    def ended() -> bool:
        with stack.session() as session:
            found = session.scalars(sqlalchemy.select(Event).where(Event.key_id == key.id)).all()
        return len(found) == 3 and all((e.state, e.status) == ("failed", 499) for e in found)

    wait_until(ended, SECONDS)
    with stack.session() as session:
        spent = session.scalars(
            sqlalchemy.select(Event.unanswered_milliseconds).where(Event.key_id == key.id)
        ).all()
    assert all(250 <= milliseconds < 4000 for milliseconds in spent), spent


def test_the_ends_of_answered_requests_are_heard_of(stack: Stack) -> None:
    """Otherwise an account would have used its share up for good."""
    key = stack.key()
    client = Client(stack.ports.edge, key.key)
    for _ in range(3):
        assert [client.predict(b"{}") for _ in range(2 * SHARE)] == [200] * 2 * SHARE
        headers = {"authorization": f"Bearer {key.key}"}
        looks = [call(f"{stack.url}/v1/models/mnist", headers=headers) for _ in range(SHARE)]
        assert {answer.status for answer in looks} == {200}
        time.sleep(0.2)
    client.close()

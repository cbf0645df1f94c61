"""Whatever is killed at any time: what was billed is what was answered.

``KILLS=20`` kills every process that often, transformer and predictor among them; by default a
stub stands for those two, so that the test is done in seconds.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from accounts.answers import read_answers, reconcile_answers
from accounts.events import reconcile
from accounts.keys import ALL_MODELS, GIVES_FEEDBACK
from accounts.tables import Event, Prediction
from disaster.mariadb import MariaDb
from tests.conftest import ROOT
from tests.edge.stack import Client, Stack, with_models, with_replicas, with_stub

KILLS = int(os.environ.get("KILLS", "0"))
SHORT_KILLS = 4
CLIENTS = 4
REPLICAS = 3
SETTLE_SECONDS = 60.0
SCOPES = (ALL_MODELS, GIVES_FEEDBACK)
PICTURE = (ROOT / "samples" / "seven.png").read_bytes()


@dataclass
class Seen:
    """What the clients saw."""

    sent: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


class Load:
    """Clients that repeat under the same id until they have an answer."""

    def __init__(self, ports: Sequence[int], key: str) -> None:
        self.seen = Seen()
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._clients = [
            threading.Thread(target=self._run, args=([Client(port, key) for port in ports],))
            for _ in range(CLIENTS)
        ]

    def __enter__(self) -> Load:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Everything that was sent is answered before this returns."""
        self._stop.set()
        for client in self._clients:
            client.join()

    def wait_for_answers(self, count: int) -> None:
        """Until so many more were seen."""
        enough = len(self.seen.answered) + count
        while len(self.seen.answered) < enough and self.failure is None:
            time.sleep(0.002)

    def _run(self, clients: list[Client]) -> None:
        ways_in = itertools.cycle(clients)
        try:
            while not self._stop.is_set():
                request_id = f"request-{next(self._numbers)}"
                self.seen.sent.add(request_id)
                self._ask(ways_in, request_id)
        except BaseException as error:
            self.failure = error
        finally:
            for client in clients:
                client.close()

    def _ask(self, ways_in: Iterator[Client], request_id: str) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while (status := next(ways_in).predict(PICTURE, request_id)) != 200:
            self.seen.statuses[status] += 1
            assert time.monotonic() < deadline, f"no answer; the last status was {status}"
            time.sleep(0.05)
        self.seen.statuses[status] += 1
        self.seen.answered.add(request_id)


def kill_in_turn(stacks: Sequence[Stack], load: Load, names: tuple[str, ...], times: int) -> None:
    parts = [(stack, name) for stack in stacks for name in names] * times
    for stack, name in random.Random(6).sample(parts, len(parts)):
        load.wait_for_answers(random.randint(5, 25))
        # At no particular moment of the requests under way.
        time.sleep(random.uniform(0, 0.02))
        stack.kill(name)
        if len(stacks) > 1:
            # Others answer meanwhile.
            load.wait_for_answers(5)
        stack.start(name)
    load.wait_for_answers(20)


def report(title: str, seen: Seen, stack: Stack) -> str:
    """The reconciliation, printed; asserts that nothing differs."""
    with stack.session() as session:
        billed = set(session.scalars(select(Event.request_id).where(Event.state == "billed")))
        kept = set(session.scalars(select(Prediction.request_id)))
        found = reconcile(session)
        log = stack.folder / "logs" / "transformer.log"
        answers = reconcile_answers(session, read_answers([log])) if log.exists() else None
    lines = [
        "",
        title,
        f"  requests sent    {len(seen.sent)}, in {seen.statuses.total()} attempts; by status "
        f"(0: connection lost) {dict(sorted(seen.statuses.items()))}",
        f"  answers seen     {len(seen.answered)}",
        f"  events recorded  {found.recorded}",
        f"  billed           {found.billed} (windows: {found.in_windows})",
        f"  differences      answered, not billed {len(seen.answered - billed)}; "
        f"billed, not answered {len(billed - seen.answered)}; windows {found.difference}",
    ]
    if answers is not None:
        lines.append(f"  transformer's own count: {answers}")
        assert answers.agrees, "\n".join(lines)
    assert billed == seen.answered == seen.sent, "\n".join(lines)
    assert kept == billed, "what was predicted is kept of every answer, and of nothing else"
    assert found.agrees
    assert found.recorded == len(seen.sent)
    assert seen.statuses.total() > len(seen.sent), "no kill hit a request"
    return "\n".join(lines)


@pytest.mark.timeout(3600)
def test_what_is_billed_is_what_was_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/accounts.db"
    path, names = with_stub, ("check", "envoy", "model")
    if KILLS:
        path, names = with_models, ("check", "envoy", "transformer", "predictor")
    times = KILLS or SHORT_KILLS
    with path(tmp_path, url) as stack:
        with Load([stack.ports.edge], stack.key(scopes=SCOPES).key) as load:
            kill_in_turn([stack], load, names, times)
        assert load.failure is None, load.failure
        text = report(f"SQLite; {', '.join(names)}: each killed {times} times", load.seen, stack)
    with capsys.disabled():
        print(text)


@pytest.mark.timeout(3600)
def test_the_same_with_mariadb(
    tmp_path: Path, mariadb: MariaDb, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("check", "database")
    times = KILLS or 1
    with with_stub(tmp_path, mariadb.url()) as stack:
        stack.others["database"] = (mariadb.kill, mariadb.start)
        with Load([stack.ports.edge], stack.key(scopes=SCOPES).key) as load:
            kill_in_turn([stack], load, names, times)
        assert load.failure is None, load.failure
        text = report(f"MariaDB; {', '.join(names)}: each killed {times} times", load.seen, stack)
    with capsys.disabled():
        print(text)


@pytest.mark.timeout(3600)
def test_the_same_with_three_replicas(
    tmp_path: Path, mariadb: MariaDb, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every attempt by another way in, so that repeats under an id meet another check's intents."""
    names = ("check", "envoy")
    times = KILLS or 1
    with with_replicas(tmp_path, mariadb.url(), REPLICAS) as stacks:
        ways_in = [stack.ports.edge for stack in stacks]
        with Load(ways_in, stacks[0].key(scopes=SCOPES).key) as load:
            kill_in_turn(stacks, load, names, times)
            # One is gone for good.
            stacks[0].kill("check")
            load.wait_for_answers(50)
            stacks[0].kill("envoy")
            load.wait_for_answers(50)
        assert load.failure is None, load.failure
        title = f"{REPLICAS} replicas, MariaDB; {', '.join(names)} of each: killed {times} times"
        text = report(title, load.seen, stacks[1])
    with capsys.disabled():
        print(text)

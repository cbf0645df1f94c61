"""A fake cluster that runs revision 1 of two models, and the commands against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from common.kubernetes import Cluster
from rollout.__main__ import main
from rollout.clock import Clock
from tests.conftest import write_small
from tests.rollout.fake_cluster import NAMESPACE, FakeCluster, api_server


class FakeClock(Clock):
    """Time that passes only by sleeping; every second of it is a pass of all controllers."""

    def __init__(self, fake: FakeCluster) -> None:
        self.fake = fake
        self.now = 0.0
        self.interrupt_at: int | None = None
        self.sleeps = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        if self.interrupt_at is not None and self.sleeps >= self.interrupt_at:
            self.interrupt_at = None
            raise KeyboardInterrupt
        # On a busy machine a second's requests take longer than one, and nothing is left to sleep.
        self.now += max(seconds, 0.2)
        for _ in range(max(1, round(seconds))):
            self.fake.tick()

    def moment(self) -> str:
        return f"2026-01-02T03:{int(self.now) // 60 % 60:02d}:{int(self.now) % 60:02d}Z"


class Killed(BaseException):
    """As by SIGKILL: nothing is cleaned up."""


class MortalCluster(Cluster):
    """Dies at its n-th write, and does not do it."""

    def __init__(self, api: client.ApiClient, die_at: int) -> None:
        super().__init__(api, NAMESPACE)
        self.left = die_at

    def _call(self, method: str, *arguments: Any, **more: Any) -> str:
        if method != "GET":
            self.left -= 1
        if self.left <= 0:
            raise Killed
        return super()._call(method, *arguments, **more)


@dataclass
class Shell:
    """Runs commands as a person would, and keeps what they printed."""

    fake: FakeCluster
    clock: FakeClock
    api: client.ApiClient
    cards: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""
    extra: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str, cluster: Cluster | None = None) -> int:
        self.capture.readouterr()
        command = [*arguments, "--cards", str(self.cards), "--by", "tester", *self.extra]
        try:
            return main(command, lambda _: cluster or Cluster(self.api, NAMESPACE), self.clock)
        finally:
            self.out, self.err = self.capture.readouterr()

    def json(self, *arguments: str) -> Any:
        assert self(*arguments, "--output", "json") == 0, self.err
        return json.loads(self.out)

    def mortal(self, die_at: int) -> MortalCluster:
        return MortalCluster(self.api, die_at)


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three revisions of two models."""
    root = tmp_path_factory.mktemp("cards")
    for model in ("fashion-mnist", "mnist"):
        for seed, revision in enumerate(("1", "2", "3")):
            write_small(root, model, revision, seed)
    return root


@pytest.fixture
def fake(cards: Path) -> FakeCluster:
    return FakeCluster({"fashion-mnist": "1", "mnist": "1"}, cards)


@pytest.fixture
def shell(fake: FakeCluster, cards: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with api_server(fake) as url:
        configuration = client.Configuration(host=url)
        with client.ApiClient(configuration) as api:
            yield Shell(fake, FakeClock(fake), api, cards, capsys)
            api.rest_client.pool_manager.clear()

"""Right answers of customers as evidence: asked of the accounts, judged by revision."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from common.ports import LOCAL_HOST
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import FakeCluster
from tests.rollout.fake_gateway import FakeGateway
from tests.rollout.test_run import Gate, gate, gateway, plain, report, run  # noqa: F401

KEY = "vk_a_key"


class Accounts(ThreadingHTTPServer):
    """Says the same at every call, but for calls without the key.

    Attributes:
        right: how many of 100 predictions were, by revision.
    """

    def __init__(self) -> None:
        super().__init__((LOCAL_HOST, 0), _Answer)
        self.right: dict[str, int] = {}
        self.asked: list[dict[str, list[str]]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Accounts

    def do_GET(self) -> None:
        known = self.headers["authorization"] == f"Bearer {KEY}"
        self.server.asked.append(parse_qs(urlsplit(self.path).query))
        rows = [{"revision": r, "count": 100, "right": n} for r, n in self.server.right.items()]
        body = json.dumps(rows if known else {"error": "no key"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def accounts(shell: Shell, gateway: FakeGateway, tmp_path: Path) -> Iterator[Accounts]:  # noqa: F811
    """Where ``shell.extra`` has customers asked."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    with Accounts() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shell.extra += ["--feedback", f"http://{LOCAL_HOST}:{server.server_address[1]}"]
        shell.extra += ["--feedback-key", str(tmp_path / "key")]
        yield server
        server.shutdown()


@pytest.mark.usefixtures("plain", "gate")
def test_what_customers_find_worse_is_taken_back(
    shell: Shell, fake: FakeCluster, accounts: Accounts, tmp_path: Path
) -> None:
    accounts.right = {"1": 96, "2": 70, "0": 1}
    assert run(shell) == 3
    assert "at 5 %: customers' feedback: 70 of 100 right; stable: 96 of 100 right" in shell.err
    assert fake.served() == {("fashion-mnist/1", "mnist/1"): 100}
    assert accounts.asked[0]["model"] == ["fashion-mnist"]
    found = json.loads((report(tmp_path) / "report.json").read_text())
    assert found["intervals"][0]["evidence"]["feedback_canary"]["labelled"] == 100
    assert (
        "70 of 100 right (70.0%) | 96 of 100 right (96.0%)"
        in (report(tmp_path) / "report.md").read_text()
    )


@pytest.mark.usefixtures("plain", "gate")
def test_what_they_find_as_good_counts_once(
    shell: Shell, accounts: Accounts, tmp_path: Path
) -> None:
    accounts.right = {"1": 90, "2": 89}
    assert run(shell) == 0, shell.err
    found = json.loads((report(tmp_path) / "report.json").read_text())
    counts = [i["evidence"]["feedback_canary"]["labelled"] for i in found["intervals"]]
    assert counts == [100, 0, 0, 0]


@pytest.mark.usefixtures("plain", "gate")
def test_without_a_key_that_works_nothing_is_begun(
    shell: Shell, fake: FakeCluster, accounts: Accounts, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("vk_another")
    fake.splits.clear()
    assert run(shell) != 0
    assert "feedback cannot be read" in shell.err and "401" in shell.err
    assert not fake.splits

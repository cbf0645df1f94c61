from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from accounts.domains import DomainView
from edge.proof import Prover, is_public
from tests.edge.nameserver import Records, nameserver

DOMAIN = DomainView(
    "vision.example.org", "acc_1", "t0ken", "pending", ("*",), None, "", 0, None, None
)
TXT = (DOMAIN.txt_name, "TXT")


@pytest.fixture
def records() -> Records:
    return {}


@pytest.fixture
def resolver(records: Records) -> Iterator[str]:
    with nameserver(records) as address:
        yield address


class FileServer(ThreadingHTTPServer):
    asked: list[tuple[str, str]]
    answers: dict[str, tuple[int, bytes]]


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append((self.headers["host"], self.path))
            status, body = server.answers.get(self.path, (404, b""))
            self.send_response(status)
            if status == 302:
                self.send_header("location", DOMAIN.file_path)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = FileServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], {}
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_record_proves_it_beside_others(records: Records, resolver: str) -> None:
    prover = Prover(resolver)
    assert "no TXT record _vision-challenge.vision.example.org" in prover.problem(DOMAIN)
    records[TXT] = ['"vision-domain=another"']
    assert "says something else" in prover.problem(DOMAIN)
    records[TXT] = ['"vision-domain=another"', '"vision-" "domain=t0ken"']
    assert prover.problem(DOMAIN) == ""


def test_a_file_proves_it(records: Records, resolver: str, file_server: FileServer) -> None:
    records[DOMAIN.name, "A"] = ["127.0.0.1"]
    prover = Prover(resolver, private_addresses=True, port=file_server.server_address[1])
    assert "answers 404" in prover.problem(DOMAIN)
    file_server.answers[DOMAIN.file_path] = (200, b"another")
    assert "says something else" in prover.problem(DOMAIN)
    file_server.answers[DOMAIN.file_path] = (200, b"t0ken\n")
    assert prover.problem(DOMAIN) == ""
    assert set(file_server.asked) == {(DOMAIN.name, DOMAIN.file_path)}


def test_no_redirect_is_followed(records: Records, resolver: str, file_server: FileServer) -> None:
    records[DOMAIN.name, "A"] = ["127.0.0.1"]
    file_server.answers[DOMAIN.file_path] = (302, b"")
    prover = Prover(resolver, private_addresses=True, port=file_server.server_address[1])
    assert "answers 302" in prover.problem(DOMAIN)
    assert len(file_server.asked) == 1


def test_nobody_has_us_ask_inside_of_our_network(
    records: Records, resolver: str, file_server: FileServer
) -> None:
    records[DOMAIN.name, "A"] = ["127.0.0.1"]
    file_server.answers[DOMAIN.file_path] = (200, b"t0ken")
    prover = Prover(resolver, port=file_server.server_address[1])
    assert "leads to no public address" in prover.problem(DOMAIN)
    assert file_server.asked == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"),
        # With a private IPv4 address within.
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:a00:1::1", "::10.0.0.1", "fec0::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_addresses_that_are() -> None:
    assert is_public("1.1.1.1") and is_public("2606:4700::1111")


def test_a_server_that_never_ends_holds_nobody_up(
    records: Records, resolver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records[DOMAIN.name, "A"] = ["127.0.0.1"]
    monkeypatch.setattr("edge.proof._IN_ALL_SECONDS", 0.2)
    asker_gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            with suppress(OSError):
                while not asker_gone.wait(0.02):
                    self.wfile.write(b"x-more: 1\r\n")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        found = Prover(resolver, private_addresses=True, port=server.server_address[1])
        asked: list[str] = []
        asking = threading.Thread(target=lambda: asked.append(found.problem(DOMAIN)), daemon=True)
        asking.start()
        asking.join(30)
        asker_gone.set()
        server.shutdown()
    assert asked and ("no file at" in asked[0] or "says something else" in asked[0])


def test_a_dns_server_that_is_away_is_said() -> None:
    prover = Prover("127.0.0.1:9")
    assert "DNS does not answer" in prover.problem(DOMAIN)

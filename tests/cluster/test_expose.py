"""Tunnels by programs that say what the real ones say, in front of what has keys or has none."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster.commands import ClusterError
from cluster.expose import choose, main, require_accounts
from tests.waiting import wait_until

LINE = "2026-11-30T08:00:03Z INF "
CREATED = "Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):"
URL = "https://four-dashed-word-url"
SAID = {
    "cloudflared": "\n".join(
        (
            f"{LINE}Requesting new quick Tunnel on trycloudflare.com...",
            f"{LINE}+{'-' * 92}+",
            f"{LINE}|  {CREATED}  |",
            f"{LINE}|  {URL + '.trycloudflare.com':88}  |",
            f"{LINE}+{'-' * 92}+",
        )
    ),
    "ngrok": "\n".join(
        (
            't=2026-11-30T08:00:00+0000 lvl=info msg="open config file" path=ngrok.yml err=nil',
            't=2026-11-30T08:00:01+0000 lvl=info msg="started tunnel" obj=tunnels '
            f"name=command_line addr=http://localhost:8080 url={URL}.ngrok-free.app",
        )
    ),
    "inlets-pro": "Starting HTTP client. Version 0.9.40",
}
"""What they print, as their makers' documentation and issues show it."""
FAILED = 'failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": no such host'


class Service(ThreadingHTTPServer):
    """Answers a prediction with ``status``."""

    status = 401


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Service)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("INLETS_URL", "INLETS_TOKEN_FILE", "INLETS_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def add(folder: Path, name: str, text: str, status: int | None = None) -> None:
    """A program that notes its process and arguments, says ``text``, and stays or ends."""
    path = folder / name
    end = "import time; time.sleep(600)" if status is None else f"sys.exit({status})"
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"called = open({str(folder / 'called')!r}, 'w')\n"
        "called.write(' '.join([str(os.getpid()), *sys.argv[1:]]))\n"
        "called.close()\n"
        f"print({text!r}, file=sys.stderr, flush=True)\n{end}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def address(service: Service) -> str:
    return f"http://127.0.0.1:{service.server_address[1]}"


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("name", SAID)
def test_it_says_the_address_and_closes_once_somebody_without_a_key_is_answered(
    name: str,
    service: Service,
    programs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(programs, name, SAID[name])
    monkeypatch.setenv("INLETS_URL", "wss://192.0.2.1:8123")
    monkeypatch.setenv("INLETS_TOKEN_FILE", "/run/token")
    monkeypatch.setenv("INLETS_PUBLIC_URL", f"{URL}.example")
    monkeypatch.setattr("cluster.expose.AGAIN_SECONDS", 0.1)

    def without_accounts() -> None:
        wait_until((programs / "called").exists, 20)
        service.status = 200

    threading.Timer(1, without_accounts).start()
    assert main(["--to", address(service)]) == 1
    said = capsys.readouterr()
    assert f"curl {URL}." in said.out
    assert "/v1/models/mnist:predict" in said.out
    assert "Bearer $KEY" in said.out
    assert "answers 200 to a prediction without a key" in said.err
    pid, _, arguments = (programs / "called").read_text().partition(" ")
    assert address(service) in arguments
    assert not is_there(int(pid)), "the tunnel is still open"


@pytest.mark.parametrize("status", [200, 422, 503])
def test_what_answers_without_a_key_is_not_let_out(
    status: int, service: Service, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(programs, "cloudflared", SAID["cloudflared"])
    service.status = status
    assert main(["--to", address(service)]) == 1
    assert "only what is behind accounts is let out" in capsys.readouterr().err
    assert not (programs / "called").exists()


def test_what_leads_to_https_or_is_not_there_is_said(service: Service) -> None:
    service.status = 308
    with pytest.raises(ClusterError, match="leads to https"):
        require_accounts(address(service), "mnist")
    with pytest.raises(ClusterError, match="nobody answers"):
        require_accounts("http://127.0.0.1:1", "mnist")
    with pytest.raises(ClusterError, match="no http://host:port"):
        require_accounts("localhost:8080", "mnist")


def test_a_program_that_ends_is_quoted(
    service: Service, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(programs, "cloudflared", FAILED, 1)
    assert main(["--to", address(service)]) == 1
    assert FAILED in capsys.readouterr().err


def test_the_first_that_is_there_with_its_settings_is_taken(programs: Path) -> None:
    with pytest.raises(ClusterError, match=r"cloudflared is not installed.*inlets-pro is not"):
        choose("", {})
    add(programs, "inlets-pro", "")
    with pytest.raises(ClusterError, match=r"inlets-pro needs INLETS_URL, INLETS_TOKEN_FILE"):
        choose("", {})
    add(programs, "ngrok", "")
    assert choose("", {}).program == "ngrok"
    with pytest.raises(ClusterError, match=r"^cloudflared is not installed$"):
        choose("cloudflared", {})

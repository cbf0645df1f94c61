import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from accounts.settings import AccountsSettings
from console.canary import parse_record, read_canary

RECORD = {
    "lock": "null",
    "operation": json.dumps(
        {
            "step": "open",
            "model": "fashion-mnist",
            "revision": "2",
            "was": "1",
            "percent": 10,
            "by": "ada",
            "since": "2026-11-21T09:00:00Z",
            "why": "better",
        }
    ),
    "history": json.dumps(
        [
            {"at": "1", "by": "ada", "action": "found", "models": {"mnist": "1"}},
            {"at": "2", "by": "bob", "action": "promoted", "models": {"mnist": "2"}},
        ]
    ),
}


def test_a_record_is_read_newest_first():
    found = parse_record(RECORD)
    assert (found.title, found.percent) == ("fashion-mnist: revision 1 to 2", 10)
    assert [e.models for e in found.history] == ["mnist/2", "mnist/1"]
    assert parse_record({}).title == ""


@pytest.fixture
def place():
    """An address that answers with what is put into ``answer``."""

    class Handler(BaseHTTPRequestHandler):
        answer = (200, {"data": RECORD})
        seen = None

        def do_GET(self):
            Handler.seen = self.headers["authorization"]
            status, document = Handler.answer
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Handler.url = f"http://127.0.0.1:{server.server_port}/record"
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_read_with_the_token_of_a_file(place, tmp_path):
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    settings = AccountsSettings(development=True, rollout_url=place.url, rollout_token_file=token)
    assert read_canary(settings).percent == 10
    assert place.seen == "Bearer t0ken"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {}), "no rollout"),
        ((403, {}), "cannot be read"),
        ((200, {"data": {"operation": "{"}}), "cannot be read"),
        ((200, {}), "cannot be read"),
    ],
)
def test_what_cannot_be_read_leaves_the_page_as_it_is(place, answer, said):
    place.answer = answer
    settings = AccountsSettings(development=True, rollout_url=place.url)
    assert said in read_canary(settings).problem


def test_nothing_is_asked_where_nothing_is_configured():
    assert read_canary(AccountsSettings(development=True)) is None

"""People are told by webhook and by mail."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from common.mail import Mail, MailRefusedError, MailServerError
from lifecycle.notices import Notice, Notices
from lifecycle.run import Arrival, Run
from lifecycle.step import Outcome, Result, Step

RUN = Run(
    Arrival("mnist-1", "mnist", "mnist/boots.npz", "sha256:1", "2026-11-30T00:00:00Z", "ada"),
    {Step.CHECKED: Result(Step.CHECKED, Outcome.REFUSED, "2026-11-30T00:00:01Z", "w", "no")},
)


class Mailer:
    def __init__(self, *faults: Exception) -> None:
        self.faults, self.mails = list(faults), list[Mail]()

    def send(self, mail: Mail) -> None:
        if self.faults:
            raise self.faults.pop()
        self.mails.append(mail)


def test_a_webhook_gets_a_cloud_event() -> None:
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["Content-Type"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        assert Notices([url], [], Mailer(), print).send(Notice.refused(RUN))
        thread.join()
    kind, body = got[0]
    event = json.loads(body)
    assert kind == "application/cloudevents+json; charset=utf-8"
    assert {"specversion", "type", "source", "id", "time", "subject"} <= set(event)
    assert (event["type"], event["id"]) == ("io.vision.lifecycle.refused", "mnist-1/refused")
    assert event["data"]["step"] == "checked"
    assert event["data"]["text"] == "mnist: mnist/boots.npz is refused: no"


def test_a_webhook_that_is_away_is_told_later() -> None:
    said: list[str] = []
    assert not Notices(["http://127.0.0.1:1/"], [], Mailer(), said.append).send(Notice.refused(RUN))
    assert said[0].startswith("mnist-1: the webhook http://127.0.0.1:1/ was not told")


def test_mail_says_what_to_do() -> None:
    mailer = Mailer()
    assert Notices([], ["ada@example.com"], mailer, print).send(Notice.awaiting(RUN, Step.TRAINED))
    (mail,) = mailer.mails
    assert (mail.to, mail.subject) == ("ada@example.com", "vision: mnist: awaiting approval")
    assert "vision lifecycle approve mnist-1" in mail.text


def test_mail_that_is_refused_is_not_sent_again_and_mail_that_waits_is() -> None:
    mailer = Mailer(MailServerError("away"), MailRefusedError("no such mailbox"))
    notices = Notices([], ["ada@example.com"], mailer, lambda text: None)
    assert notices.send(Notice.refused(RUN))
    assert not notices.send(Notice.refused(RUN))
    assert notices.send(Notice.refused(RUN))

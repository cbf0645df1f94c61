"""Telling people: by webhook, as CloudEvents, and by mail."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.mail import Mail, Mailer, MailRefusedError, MailServerError
from lifecycle.clock import now
from lifecycle.run import Run
from lifecycle.step import Step

SECONDS = 10.0
TYPE = "io.vision.lifecycle"
"""Beginning of the events' types."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Notice:
    """What people are told of a run.

    Attributes:
        kind: ``refused``, ``awaiting-approval`` or ``promoted``.
        awaits: the step that waits for a person; empty where none does.
    """

    kind: str
    run: Run
    text: str
    awaits: str = ""

    @classmethod
    def refused(cls, run: Run) -> Notice:
        return cls("refused", run, f"{run.model}: {_what(run)} is refused: {run.why}")

    @classmethod
    def promoted(cls, run: Run) -> Notice:
        return cls("promoted", run, f"{run.model}/{run.revision} is live: {run.why}")

    @classmethod
    def awaiting(cls, run: Run, step: Step) -> Notice:
        text = (
            f"{run.model}: {_what(run)} waits for approval before {step.value} ({run.why}); "
            f"`vision lifecycle approve {run.id}` or `reject {run.id} --why …`"
        )
        return cls("awaiting-approval", run, text, step.value)

    def to_event(self) -> bytes:
        """In CloudEvents' JSON format, version 1.0; its id is the same whenever it is sent."""
        run = self.run
        refusal = run.refusal
        event = {
            "specversion": "1.0",
            "type": f"{TYPE}.{self.kind}",
            "source": f"/vision/lifecycle/{run.model}",
            "subject": run.id,
            "id": "/".join(filter(None, (run.id, self.kind, self.awaits))),
            "time": now(),
            "datacontenttype": "application/json",
            "data": {
                "run": run.id,
                "model": run.model,
                "revision": run.revision,
                "part": run.arrival.part,
                "step": self.awaits or (refusal.step.value if refusal else run.state),
                "text": self.text,
            },
        }
        return json.dumps(event, ensure_ascii=False).encode()


class Notices:
    """Sends notices to webhooks and addresses; without any it sends nothing."""

    def __init__(
        self, webhooks: Sequence[str], receivers: Sequence[str], mailer: Mailer, say: Say
    ) -> None:
        self._webhooks = webhooks
        self._receivers = receivers
        self._mailer = mailer
        self._say = say

    def send(self, notice: Notice) -> bool:
        """Whether everybody was told; what failed is said."""
        done = [self._post(url, notice) for url in self._webhooks]
        done += [self._mail(address, notice) for address in self._receivers]
        return all(done)

    def _post(self, url: str, notice: Notice) -> bool:
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        request = urllib.request.Request(url, notice.to_event(), headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):
                return True
        except (OSError, ValueError) as error:
            self._say(f"{notice.run.id}: the webhook {url} was not told: {error}")
            return False

    def _mail(self, address: str, notice: Notice) -> bool:
        subject = f"vision: {notice.run.model}: {notice.kind.replace('-', ' ')}"
        try:
            self._mailer.send(Mail(address, subject, notice.text))
        except MailRefusedError as error:
            self._say(f"{notice.run.id}: mail is not taken: {error}")
        except MailServerError as error:
            self._say(f"{notice.run.id}: mail was not sent: {error}")
            return False
        return True


def _what(run: Run) -> str:
    return run.arrival.part or run.arrival.why or "a retraining"

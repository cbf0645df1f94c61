"""The service takes another revision while it is asked."""

from __future__ import annotations

import threading
from pathlib import Path

from common.errors import StartError
from local.service import LocalService, free_ports, interpreters
from tests.conftest import ROOT
from tests.end_to_end.conftest import call

PICTURE = (ROOT / "samples" / "seven.png").read_bytes()


def test_every_request_is_answered_by_one_of_the_two_or_told_to_come_again(
    small_root: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, str]] = []
    done = threading.Event()
    with LocalService(
        free_ports(), interpreters(), small_root, {"mnist": "1"}, tmp_path, alone=True
    ) as service:
        url = f"{service.url}/v1/models/mnist:predict"

        def ask() -> None:
            while not done.is_set():
                reply = call(url, PICTURE, "image/png")
                revision = reply.json().get("model_version", "")
                seen.append((reply.status, revision))

        client = threading.Thread(target=ask)
        client.start()
        try:
            service.take({"mnist": "2"})
            assert call(url, PICTURE, "image/png").json()["model_version"] == "2"
            try:
                service.take({"mnist": "3"})
            except StartError:
                pass
            else:
                raise AssertionError("there is no mnist/3")
            assert service.revisions == {"mnist": "2"}
            assert call(url, PICTURE, "image/png").json()["model_version"] == "2"
        finally:
            done.set()
            client.join()
    assert {(200, "2"), (503, "")} <= set(seen) <= {(200, "1"), (200, "2"), (503, "")}
    assert ("3" not in {revision for _, revision in seen}) and seen[-1] == (200, "2")

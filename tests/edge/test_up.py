"""``make up`` says what is wrong, starts everything, and stops it on Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from PIL import Image
from sqlalchemy.orm import Session

from accounts.captures import Choice, choose
from accounts.database import open_database
from accounts.keys import GIVES_FEEDBACK, READS_FEEDBACK, KeyRequest, make_key
from common.errors import StartError
from common.ports import free_row
from edge.certificates import CHAIN, Folders, require_pair
from edge.processes import envoy_program
from edge.up import by_tls, local_certificate, public_url
from tests.accounts.conftest import add_account
from tests.conftest import ROOT
from tests.end_to_end.conftest import call, people
from tests.needs import missing
from tests.transformer.images import encode
from tests.waiting import wait_until
from training.arrival.feedback import main as part_of_feedback
from training.arrival.forms import read as read_part


def up(port: int, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge.up", "--port", str(port)]
    command += ["--database", f"sqlite:///{folder}/accounts.db"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=people(), text=True, stdout=pipe, stderr=pipe)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        process = up(other.getsockname()[1], tmp_path)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "choose another with PORT=" in said


def give_feedback(url: str, folder: Path) -> None:
    """A key predicts, and says of one of three answers that it was something else; its picture,
    which the account lets us keep, becomes a part for the inbox.
    """
    engine = open_database(f"sqlite:///{folder}/accounts.db")
    with Session(engine) as session:
        account = add_account(session, "feedback@example.org", "trainer")
        choose(session, account.id, Choice("mnist", 100, 8 << 20, 1))
        rights = ("mnist", GIVES_FEEDBACK, READS_FEEDBACK)
        key = make_key(session, account.id, KeyRequest("k", rights)).key
        session.commit()
    engine.dispose()
    shown = {"authorization": f"Bearer {key}"}
    picture = (ROOT / "samples" / "seven.png").read_bytes()
    for name, label in (("a", "7"), ("b", "7"), ("c", "1")):
        asked = {**shown, "x-request-id": name, "content-type": "image/png"}
        answer = call(f"{url}/v1/models/mnist:predict", picture, headers=asked)
        assert (answer.status, "x-model-predicted" in answer.headers) == (200, False)
        body = json.dumps({"request_id": name, "label": label}).encode()
        said = call(f"{url}/v1/feedback", body, headers=shown)
        assert said.status == 200, said.body
        assert said.json()["right"] == (label == "7")
    assert call(f"{url}/v1/feedback", body).status == 401
    # Copies are sent apart from the answers, which nobody keeps waiting for them.
    wrong = f"{url}/v1/feedback/disagreements?model=mnist"
    wait_until(lambda: bool(call(wrong, headers=shown).json()), 30)
    (found,) = call(wrong, headers=shown).json()
    assert (found["request_id"], found["label"], found["predicted"]) == ("c", "1", "7")
    kept = f"{url}/v1/feedback/captures?account={found['account_id']}"
    assert call(f"{kept}&request_id=c", headers=shown).body == picture
    (folder / "key").write_text(key)
    more = ["--url", url, "--key", str(folder / "key"), "--inbox", str(folder / "inbox")]
    assert part_of_feedback(["part", "mnist", *more, "--name", "week-1"]) == 0
    part = read_part(folder / "inbox" / "mnist" / "week-1.parquet", None, ())
    assert (part.labels, len(part.images)) == (["1"], 1)
    # More than Envoy holds of a connection at a time.
    noise = np.random.default_rng(1).integers(0, 255, (1200, 1200), np.uint8)
    large = encode(Image.fromarray(noise))
    assert len(large) > 1 << 20
    asked = {**shown, "x-request-id": "large", "content-type": "image/png"}
    assert call(f"{url}/v1/models/mnist:predict", large, headers=asked).status == 200
    wait_until(lambda: call(f"{kept}&request_id=large", headers=shown).body == large, 30)
    (row,) = call(f"{url}/v1/feedback/accuracy", headers=shown).json()
    assert (row["model"], row["count"], row["right"]) == ("mnist", 3, 2)
    assert row["low"] < 2 / 3 < row["high"]


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    try:
        envoy_program()
    except StartError as error:
        missing("envoy", str(error))
    port = free_row(4).start
    process = up(port, tmp_path)
    assert process.stdout is not None
    try:
        ready = any(line.startswith("Ready") for line in process.stdout)
        assert ready, process.stderr and process.stderr.read()
        assert call(f"http://localhost:{port}/").status == 200
        assert call(f"http://localhost:{port}/v1/models/mnist").status == 401
        assert call(f"http://localhost:{port}/v1/models/mnist:predict", b"{}").status == 422
        give_feedback(f"http://localhost:{port}", tmp_path)
    finally:
        os.kill(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=40)
    assert process.returncode == 0
    assert rest.endswith("stopped\n")
    deadline = time.monotonic() + 5
    for number in (port, port + 1, port + 2):
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", number)) == 0:
                assert time.monotonic() < deadline, f"{number} still answers"


def test_https_has_a_certificate_of_this_machine_and_a_curl_to_paste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    monkeypatch.setattr("edge.up.AUTHORITY", tmp_path / "an authority")
    monkeypatch.setattr("edge.up.CERTIFICATES", folders)
    assert local_certificate() == folders
    certificate = require_pair(folders.certificates / folders.own)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    url = public_url(8080, 8443)
    words = shlex.split(by_tls(8080, url).partition("\n\n")[2].strip())
    assert words[0] == "curl"
    assert Path(words[words.index("--cacert") + 1]) == tmp_path / "an authority" / CHAIN
    assert "https://localhost:8443/v1/models/mnist:predict" in words
    assert public_url(8080, 0) == "http://localhost:8080"
    # One that is broken is said, and nothing is made over it.
    (tmp_path / "an authority" / CHAIN).write_text("no certificate")
    with pytest.raises(StartError, match="no certificate for https"):
        local_certificate()

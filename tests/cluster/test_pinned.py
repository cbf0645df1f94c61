from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cluster import pinned as module
from cluster.__main__ import main
from cluster.commands import ClusterError
from cluster.pinned import LOCK, manifest, pinned, write_lock
from cluster.versions import manifests

URL = "https://github.com/kserve/kserve/releases/download/v0.21.0/kserve.yaml"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the URLs give."""
    found = {url: url.encode() for url in manifests()}
    monkeypatch.setattr(module, "download", lambda url: found[url])
    return found


def test_what_was_pinned_is_applied_and_nothing_else(
    served: dict[str, bytes], tmp_path: Path
) -> None:
    lock = tmp_path / "platform.lock"
    assert write_lock([URL], lock) == [f"{hashlib.sha256(URL.encode()).hexdigest()}  {URL}"]
    path, note = manifest(URL, lock, tmp_path / "build")
    assert (path.read_bytes(), note) == (URL.encode(), "")
    path.write_bytes(b"changed on this disk")
    assert manifest(URL, lock, tmp_path / "build")[0].read_bytes() == URL.encode()
    served[URL] = b"changed in the release"
    assert manifest(URL, lock, tmp_path / "build")[0].read_bytes() == URL.encode()  # is there
    with pytest.raises(ClusterError) as caught:
        manifest(URL, lock, tmp_path / "elsewhere")
    told = str(caught.value)
    assert URL in told
    assert "platform.lock pins" in told
    assert "Nothing of it was applied" in told
    assert not list((tmp_path / "elsewhere").rglob("*.yaml"))


def test_what_is_not_pinned_is_said_with_its_digest(
    served: dict[str, bytes], tmp_path: Path
) -> None:
    _, note = manifest(URL, tmp_path / "none.lock", tmp_path)
    digest = hashlib.sha256(URL.encode()).hexdigest()
    assert note == f"sha256 {digest}, not pinned: `make lock-platform` pins it"


def test_the_command_pins_everything_that_is_applied(
    served: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(write_lock, "__defaults__", (tmp_path / "platform.lock",))
    assert main(["lock-platform"]) == 0
    assert list(pinned(tmp_path / "platform.lock")) == manifests()
    assert capsys.readouterr().out.count("https://") == len(manifests())


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "platform.lock"
    lock.write_text("abc  https://example.org\n")
    with pytest.raises(ClusterError, match=r"platform\.lock, line 1"):
        pinned(lock)


def test_what_cannot_be_downloaded_leaves_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "platform.lock"
    lock.write_text("")
    with pytest.raises(ClusterError, match="cannot be downloaded"):
        write_lock([(tmp_path / "none.yaml").as_uri()], lock)
    assert lock.read_text() == ""


def test_a_lock_that_is_there_is_of_these_versions() -> None:
    assert set(pinned(LOCK)) <= set(manifests())

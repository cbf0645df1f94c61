from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from artifact import open_folder
from cluster import pack as module
from cluster.pack import PackError, pack


def opened(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = [member for member in archive if member.isfile()]
        return {m.name: archive.extractfile(m).read() for m in files}  # type: ignore[union-attr]


def image(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, bytes]]]:
    """Manifest, configuration and the files of each layer; every digest is checked."""
    files = opened(path)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (described,) = json.loads(files["index.json"])["manifests"]

    def content(entry: dict[str, Any]) -> bytes:
        found = files[f"blobs/{entry['digest'].replace(':', '/')}"]
        assert entry["digest"] == f"sha256:{hashlib.sha256(found).hexdigest()}"
        assert entry["size"] == len(found)
        return found

    manifest = json.loads(content(described))
    config = json.loads(content(manifest["config"]))
    layers = []
    for entry, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        raw = gzip.decompress(content(entry))
        assert diff == f"sha256:{hashlib.sha256(raw).hexdigest()}"
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            assert all(member.mtime == 0 for member in archive)
            layers.append(
                {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
            )
    return manifest, config, layers


def test_the_image_holds_the_revision_where_kserve_looks(small_root: Path, tmp_path: Path) -> None:
    revision = open_folder(small_root / "mnist" / "2")
    (revision.folder / "curves.png").write_bytes(b"for people")
    digest = pack(revision, tmp_path / "mnist.tar")
    manifest, config, (layer,) = image(tmp_path / "mnist.tar")
    folder = revision.folder
    assert layer == {
        f"models/{name}": (folder / name).read_bytes()
        for name in ("model.json", "weights.safetensors")
    }
    assert manifest["annotations"]["org.opencontainers.image.version"] == "2"
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    index = json.loads(opened(tmp_path / "mnist.tar")["index.json"])
    assert index["manifests"][0]["digest"] == digest
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "mnist:2"


def test_packed_again_it_is_the_same(small_root: Path, tmp_path: Path) -> None:
    revision = open_folder(small_root / "mnist" / "1")
    for name in ("one.tar", "other.tar"):
        pack(revision, tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "other.tar").read_bytes()


def test_a_bases_layers_lie_below(small_root: Path, tmp_path: Path) -> None:
    one, other = (open_folder(small_root / "mnist" / number) for number in ("1", "2"))
    pack(one, tmp_path / "base.tar")
    pack(other, tmp_path / "both.tar", tmp_path / "base.tar")
    _, _, (below, above) = image(tmp_path / "both.tar")
    assert below["models/model.json"] == (one.folder / "model.json").read_bytes()
    assert above["models/model.json"] == (other.folder / "model.json").read_bytes()


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_what_is_no_archive_is_refused(content: bytes, small_root: Path, tmp_path: Path) -> None:
    (tmp_path / "base.tar").write_bytes(content)
    with pytest.raises(PackError, match=r"base\.tar is not the OCI archive of one image"):
        pack(open_folder(small_root / "mnist" / "1"), tmp_path / "x.tar", tmp_path / "base.tar")


def test_the_command_says_what_to_do_next(
    small_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert module.main([str(small_root / "mnist" / "1")]) == 0
    assert (tmp_path / "mnist-1.tar").exists()
    told = capsys.readouterr().out
    assert "skopeo copy oci-archive:mnist-1.tar docker://<registry>/mnist:1" in told
    assert module.main([str(tmp_path)]) == 1
    assert "model.json cannot be read" in capsys.readouterr().err

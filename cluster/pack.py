"""``vision pack``: an OCI image of one revision, for ``storageUri: oci://…``.

The image has the revision's files under ``/models``, where KServe looks for them, in an archive
that skopeo, Podman and buildah read (the OCI image layout, in a tar file). Packed again it is the
same, to the last bit. KServe runs such an image as a container beside the servers, with the image's
own ``sh``: that comes from a base image, an archive of the same kind.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

from artifact import CARD_FILE, ArtifactError, Revision, open_folder

FOLDER = "models"
LAYOUT_FILE, INDEX_FILE = "oci-layout", "index.json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REFERENCE = "org.opencontainers.image.ref.name"
TITLE, VERSION = "org.opencontainers.image.title", "org.opencontainers.image.version"

Blobs = dict[str, bytes]
"""Contents by their hexadecimal sha256."""


class PackError(ValueError):
    """An image cannot be made; the message says why, for a person."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision pack", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the revision")
    parser.add_argument("--to", type=Path, help="archive to write; default: NAME-REVISION.tar")
    parser.add_argument("--base", type=Path, help="OCI archive of an image with sh")
    options = parser.parse_args(arguments)
    try:
        revision = open_folder(options.folder)
        card = revision.card
        target: Path = options.to or Path(f"{card.name}-{card.revision}.tar")
        digest = pack(revision, target, options.base)
    except (ArtifactError, PackError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        return 1
    print(f"{target}: {card.identity} as {digest}, {target.stat().st_size / 1e6:.1f} MB")
    print(f"skopeo copy oci-archive:{target} docker://<registry>/{card.name}:{card.revision}")
    return 0


def pack(revision: Revision, target: Path, base: Path | None = None) -> str:
    """Write the archive of an image that holds a revision's files.

    Args:
        base: an archive of one image, whose layers lie below.

    Returns:
        The image's digest.

    Raises:
        ArtifactError: a file is missing, or not the one that the card names.
        PackError: ``base`` is no such archive.
    """
    revision.check_files()
    layer = _layer(revision)
    blobs: Blobs = {}
    below: list[dict[str, Any]] = []
    config: dict[str, Any] = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}
    if base is not None:
        config, below, blobs = _read_base(base)
    config["rootfs"]["diff_ids"] = [*config["rootfs"].get("diff_ids", []), f"sha256:{_hash(layer)}"]
    config.pop("history", None)  # one entry a layer is wanted, and nobody reads them
    layers = [*below, _blob(blobs, gzip.compress(layer, mtime=0), LAYER)]
    card = revision.card
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _blob(blobs, _json(config), CONFIG),
        "layers": layers,
        "annotations": {TITLE: card.name, VERSION: card.revision},
    }
    described = _blob(blobs, _json(manifest), MANIFEST)
    described["annotations"] = {REFERENCE: f"{card.name}:{card.revision}"}
    index = {"schemaVersion": 2, "manifests": [described]}
    files = {LAYOUT_FILE: _json({"imageLayoutVersion": "1.0.0"}), INDEX_FILE: _json(index)}
    files |= {f"blobs/sha256/{name}": content for name, content in sorted(blobs.items())}
    target.write_bytes(_tar(files))
    return str(described["digest"])


def _layer(revision: Revision) -> bytes:
    names = [CARD_FILE, *sorted(revision.card.files)]
    return _tar({f"{FOLDER}/{name}": (revision.folder / name).read_bytes() for name in names})


def _tar(files: dict[str, bytes]) -> bytes:
    """Files, and the folders they lie in, of nobody and of no time."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for name in sorted(folders):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _read_base(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], Blobs]:
    """Configuration, layers and their contents of the one image in an archive."""
    try:
        with tarfile.open(path) as archive:
            contents = {
                member.name.removeprefix("./"): found.read()
                for member in archive
                if (found := archive.extractfile(member)) is not None
            }
        (described,) = json.loads(contents[INDEX_FILE])["manifests"]
        manifest = json.loads(contents[_path(described)])
        config = json.loads(contents[_path(manifest["config"])])
        layers: list[dict[str, Any]] = manifest["layers"]
        blobs = {_hash(contents[_path(layer)]): contents[_path(layer)] for layer in layers}
    except (tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise PackError(f"{path} is not the OCI archive of one image: {error}") from None
    return config, layers, blobs


def _path(described: dict[str, Any]) -> str:
    return f"blobs/{described['digest'].replace(':', '/')}"


def _blob(blobs: Blobs, content: bytes, media_type: str) -> dict[str, Any]:
    blobs[_hash(content)] = content
    return {"mediaType": media_type, "digest": f"sha256:{_hash(content)}", "size": len(content)}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


if __name__ == "__main__":
    sys.exit(main())

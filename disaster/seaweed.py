"""A real S3 server: SeaweedFS, from its wheel."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from common.ports import free_row

PROGRAM = Path(sys.prefix) / "bin" / "weed"
SECONDS = 60
ACCESS = {"accessKey": "registry", "secretKey": "registry-secret"}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its endpoint, while it runs."""
    (folder / "data").mkdir()
    identity = {
        "name": "tests",
        "credentials": [ACCESS],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    s3, master, volume, filer, *remote = free_row(8)
    command = [str(PROGRAM), "server", f"-dir={folder / 'data'}", "-s3"]
    command += ["-filer", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}"]
    command += [f"-s3.config={folder / 's3.json'}", f"-master.port={master}"]
    command += [f"-volume.port={volume}", f"-filer.port={filer}"]
    # Its gRPC ports are 10,000 above each, unless they are named: beyond the last port there is.
    for name, port in zip(("s3", "master", "volume", "filer"), remote, strict=True):
        command.append(f"-{name}.port.grpc={port}")
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # at ports of their own otherwise
    command += ["-volume.max=100", "-master.volumeSizeLimitMB=64"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": str(folder)}
        )
    try:
        endpoint = f"http://127.0.0.1:{s3}"
        _wait(endpoint, process, folder / "weed.log")
        yield endpoint
    finally:
        process.kill()  # it goes on after SIGTERM
        process.wait()


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{endpoint}/status", timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"SeaweedFS does not answer:\n{log.read_text()[-2000:]}")

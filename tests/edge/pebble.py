"""Pebble: Let's Encrypt's small ACME server for tests, with a resolver of names that are here."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from common.ports import free_row
from common.processes import Processes
from edge.authority import Authority
from edge.certificates import CHAIN, KEY
from tests.needs import missing


@contextlib.contextmanager
def pebble(folder: Path, http_port: int) -> Iterator[tuple[str, Path]]:
    """URL of its directory, and the certificate to trust there.

    Args:
        http_port: on which it asks for challenges, in place of 80; every name is 127.0.0.1.
    """
    programs = [shutil.which(name) for name in ("pebble", "pebble-challtestsrv")]
    if not all(programs):
        missing("pebble", "pebble or pebble-challtestsrv is not installed")
    server, resolver = (str(program) for program in programs)
    authority = Authority(folder / "own")
    authority.issue(["localhost"], folder / "server")
    port, management, dns, control = free_row(4)
    configuration = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "server" / CHAIN),
        "privateKey": str(folder / "server" / KEY),
        "httpPort": http_port,
        "tlsPort": 1,
        "externalAccountBindingRequired": False,
        "profiles": {"default": {"description": "", "validityPeriod": 7776000}},
    }
    path = folder / "pebble.json"
    path.write_text(json.dumps({"pebble": configuration}))
    with Processes(folder / "logs") as processes:
        command = [resolver, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
        command += ["-management", f"127.0.0.1:{control}"]
        command += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        # Debian 12's has another name for its DNS server, and none over HTTPS.
        asked = subprocess.run([resolver, "-help"], check=False, capture_output=True, text=True)
        newer = "-dnsserver" in asked.stderr
        command += ["-dnsserver" if newer else "-dns01", f"127.0.0.1:{dns}"]
        command += ["-doh", ""] if newer else []
        processes.start("resolver", command, {})
        processes.wait_for_port("resolver", control)
        command = [server, "-config", str(path), "-dnsserver", f"127.0.0.1:{dns}"]
        processes.start(
            "pebble", command, {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        )
        processes.wait_for_port("pebble", port)
        yield f"https://localhost:{port}/dir", authority.certificate_file

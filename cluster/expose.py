"""``make expose``: a public address of a service on this machine, by a tunnel, behind accounts.

Whichever of cloudflared, ngrok and inlets is there does it. Nothing is let out that answers a
prediction without a key: it is asked before the tunnel opens, and again while it is open.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from cluster.commands import ROOT, ClusterError
from cluster.overlay import NAMESPACE
from common.errors import StartError
from common.kourier import find_address
from common.kubernetes import Cluster, KubernetesError
from common.processes import Processes, interruptible, say

SAMPLE = ROOT / "samples" / "seven.png"
ASK_SECONDS = 10.0
AGAIN_SECONDS = 5.0
OPEN_SECONDS = 60.0
UNAUTHORIZED, REDIRECTED = 401, 308
GREETING = """
{address}  →  {url}

  curl {url}/v1/models/{model}:predict --header "authorization: Bearer $KEY" \\
    --header 'content-type: image/png' --data-binary @{sample}

KEY is an API key, from the page at {url}. Ctrl-C closes the tunnel.
"""


@dataclass(frozen=True)
class Tunnel:
    """A program that opens one.

    Attributes:
        program: its name.
        command: arguments for an address such as ``http://localhost:8080``.
        said: what it prints of the public address, in its group; None where ``url`` names it.
        url: the setting that says the address, where the program does not.
        needs: settings that it cannot do without.
    """

    program: str
    command: Callable[[str, Mapping[str, str]], list[str]]
    said: re.Pattern[str] | None = None
    url: str = ""
    needs: tuple[str, ...] = ()


TUNNELS = (
    Tunnel(
        "cloudflared",
        # Without the settings of named tunnels, which would take the place of this one.
        lambda address, _: (
            ["tunnel", "--config", os.devnull, "--no-autoupdate", "--url", address]
        ),
        re.compile(r"\|\s+(https://[a-z0-9-]+\.trycloudflare\.com)\s+\|"),
    ),
    Tunnel(
        "ngrok",
        lambda address, _: ["http", address, "--log", "stdout", "--log-format", "logfmt"],
        re.compile(r'msg="started tunnel".* url=(https://\S+)'),
    ),
    Tunnel(
        "inlets-pro",
        lambda address, settings: [
            *("http", "client", f"--url={settings['INLETS_URL']}"),
            *(f"--token-file={settings['INLETS_TOKEN_FILE']}", f"--upstream={address}"),
        ],
        url="INLETS_PUBLIC_URL",
        needs=("INLETS_URL", "INLETS_TOKEN_FILE", "INLETS_PUBLIC_URL"),
    ),
)


def choose(name: str, settings: Mapping[str, str]) -> Tunnel:
    """The tunnel of that name, or the first that is installed and has its settings.

    Raises:
        ClusterError: there is none.
    """
    wanted = [tunnel for tunnel in TUNNELS if name in ("", tunnel.program)]
    missing = []
    for tunnel in wanted:
        unset = [setting for setting in tunnel.needs if not settings.get(setting)]
        if not shutil.which(tunnel.program):
            missing.append(f"{tunnel.program} is not installed")
        elif unset:
            missing.append(f"{tunnel.program} needs {', '.join(unset)}")
        else:
            return tunnel
    raise ClusterError("; ".join(missing))


def require_accounts(address: str, model: str) -> None:
    """Raises ClusterError where somebody without a key would be answered.

    Args:
        address: such as ``http://localhost:8080``.
    """
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname:
        raise ClusterError(f"{address} is no http://host:port; the tunnel itself has TLS")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ASK_SECONDS)
    try:
        # What a try without a key would be answered to.
        path, body = f"/v1/models/{model}:predict", SAMPLE.read_bytes()
        connection.request("POST", path, body, {"content-type": "image/png"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ClusterError(f"nobody answers at {address}: {error}") from None
    finally:
        connection.close()
    if status == REDIRECTED:
        raise ClusterError(
            f"{address} leads to https: start it without TLS, the tunnel has its own"
        )
    if status != UNAUTHORIZED:
        raise ClusterError(
            f"{address} answers {status} to a prediction without a key, not {UNAUTHORIZED}: only "
            "what is behind accounts is let out. On this machine: make up TRIES=0; "
            "on a cluster: component accounts"
        )


def expose(tunnel: Tunnel, address: str, model: str, settings: Mapping[str, str]) -> None:
    """Open a tunnel and hold it until interrupted.

    Raises:
        ClusterError: what it leads to answers without a key, from the beginning or since a moment.
        StartError: the tunnel's program ended, or says no address.
        KeyboardInterrupt: as for Ctrl-C.
    """
    require_accounts(address, model)
    with TemporaryDirectory() as folder, Processes(Path(folder)) as processes:
        processes.start(tunnel.program, [tunnel.program, *tunnel.command(address, settings)], {})
        url = _address(processes, tunnel, Path(folder), settings)
        sample = shlex.quote(str(SAMPLE))
        say(GREETING.format(address=address, url=url, model=model, sample=sample))
        asked = time.monotonic()

        def ask_again() -> None:
            nonlocal asked
            if time.monotonic() > asked + AGAIN_SECONDS:
                require_accounts(address, model)
                asked = time.monotonic()

        processes.wait(ask_again)


def _address(
    processes: Processes, tunnel: Tunnel, folder: Path, settings: Mapping[str, str]
) -> str:
    if tunnel.said is None:
        return settings[tunnel.url].rstrip("/")
    log = folder / f"{tunnel.program}.log"
    said = tunnel.said
    found: list[str] = []

    def is_said() -> bool:
        found.extend(said.findall(log.read_text(errors="replace")))
        return bool(found)

    processes.wait_until(tunnel.program, is_said, OPEN_SECONDS)
    return found[0]


def edge_address() -> str:
    """Of the cluster's Service `edge`; raises ClusterError."""
    try:
        with Cluster.connect(NAMESPACE) as cluster:
            return find_address(cluster, "edge")
    except KubernetesError as error:
        raise ClusterError(
            f"no edge of a cluster is found ({error}); on this machine: make up TRIES=0, "
            "then make expose TO=http://localhost:8080"
        ) from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision expose", description=__doc__)
    parser.add_argument("--to", default="", help="http://host:port; empty: the cluster's edge")
    parser.add_argument("--model", default="mnist", help="of the curl that is printed")
    names = [tunnel.program for tunnel in TUNNELS]
    parser.add_argument("--by", default="", choices=("", *names), help="empty: the first there is")
    options = parser.parse_args(arguments)
    try:
        with interruptible():
            tunnel = choose(options.by, os.environ)
            address = (options.to or edge_address()).rstrip("/")
            expose(tunnel, address, options.model, os.environ)
    except (ClusterError, StartError) as error:
        print(f"expose: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nclosed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``vision deploy``: apply an overlay, unless that would undo a promotion or end a canary."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cluster import __main__ as cluster
from cluster.commands import ROOT, ClusterError
from cluster.overlay import OVERLAYS, Overlay, render
from rollout import __main__ as rollout


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision deploy", description=__doc__)
    parser.add_argument("--overlay", default="minikube", help="folder under manifests/overlays")
    parser.add_argument("--repository", default="", help="of the images")
    parser.add_argument("--tag", default="", help="of the images")
    parser.add_argument("--gateway", default="", help="http://host:port, where it is not found")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    parser.add_argument(
        "--force", action="store_true", help="undo a promotion, discard an open canary"
    )
    options = parser.parse_args(arguments)
    # Rendered first: only what is applied can undo anything.
    try:
        rendered = render(Overlay(options.overlay, options.repository, options.tag))
    except ClusterError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    checked = rollout.main(
        [
            *("deploy-check", "--overlay", str(OVERLAYS / options.overlay)),
            *("--rendered", str(rendered), "--cards", str(options.models)),
            *(["--force"] if options.force else []),
        ]
    )
    if checked:
        return checked
    return cluster.main(
        [
            *("deploy", "--overlay", options.overlay),
            *("--repository", options.repository, "--tag", options.tag),
            *("--gateway", options.gateway, "--models", str(options.models)),
            *(["--force"] if options.force else []),
        ]
    )

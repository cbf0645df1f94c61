"""``vision deploy``: apply an overlay, unless that would undo a promotion."""

from __future__ import annotations

import argparse
from pathlib import Path

from cluster import __main__ as cluster
from rollout import __main__ as rollout

OVERLAYS = Path(__file__).parent.parent / "manifests" / "overlays"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision deploy", description=__doc__)
    parser.add_argument("--overlay", default="minikube", help="folder under manifests/overlays")
    parser.add_argument("--repository", default="", help="of the images")
    parser.add_argument("--tag", default="", help="of the images")
    parser.add_argument("--force", action="store_true", help="even if it undoes a promotion")
    options = parser.parse_args(arguments)
    overlay = ["--overlay", options.overlay]
    if not options.force:
        checked = rollout.main(["deploy-check", "--overlay", str(OVERLAYS / options.overlay)])
        if checked:
            return checked
    named = ["--repository", options.repository, "--tag", options.tag]
    return cluster.main(["deploy", *overlay, *named])

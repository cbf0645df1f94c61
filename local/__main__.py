"""``make run``: start the service, say how to try it, stop it on Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from local.manifest import LOCAL_HOST, MANIFESTS, Ports, model_names
from local.service import ROOT, LocalService, StartError, interpreters

SAMPLES = {"mnist": "seven.png", "fashion-mnist": "shirt.png", "land-cover": "aerial.tif"}
FORMS = ("land-cover",)
"""Models that are asked with a file in a form, and answer with a picture."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the predict URL")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=REVISION",
        help="hold another revision than the manifest's",
    )
    parser.add_argument(
        "--service", default="vision", choices=MANIFESTS, help="which InferenceService to start"
    )
    options = parser.parse_args()
    chosen = dict(item.partition("=")[::2] for item in options.model)
    ports = Ports(options.port, options.port + 1, options.port + 2)
    try:
        if not all(chosen.values()):
            raise ValueError("--model takes NAME=REVISION")
        service = LocalService(
            ports, interpreters(), options.models, chosen, service=options.service
        )
    except ValueError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        # Set even where the shell has SIGINT ignored, as it does for what it runs with "&".
        signal.signal(number, signal.default_int_handler)
    try:
        with service:
            print(greeting(service.url, options.service), flush=True)
            while (name := service.ended()) is None:
                time.sleep(0.3)
            raise StartError(f"the {name} ended")
    except StartError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0


def greeting(url: str, service: str = "vision") -> str:
    url = url.replace(LOCAL_HOST, "localhost")
    lines = ["", "Ready. In another shell:", ""]
    for name in model_names(MANIFESTS[service]):
        if name in FORMS:
            path = f"{url}/v1/models/{name}:predict?output=png"
            lines += [f"  curl -s -F file=@samples/{SAMPLES[name]} '{path}' -o {name}.png", ""]
            continue
        payload = f'{{"instances": [{{"base64": "\'$(base64 -w0 samples/{SAMPLES[name]})\'"}}]}}'
        lines += [
            f"  echo '{payload}' |",
            f"    curl -s {url}/v1/models/{name}:predict -d @-",
            "",
        ]
    lines += ["Ctrl-C stops it.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

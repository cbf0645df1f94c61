"""``python -m console``: the web process."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import ExitStack

import uvicorn

from accounts.experiment_metrics import RunningExperiments
from accounts.prices import PriceListError
from accounts.seals import SealError
from accounts.service import build_service
from accounts.settings import AccountsSettings
from common.logs import configure_logging
from common.metrics import listen_for_metrics
from common.otlp import MetricPush, is_switched_on
from common.settings import SettingError, read_settings
from console.app import create_app
from console.capture import listening
from console.limits import MAX_HEAD_BYTES
from registry.errors import RegistryError

MAX_CONNECTIONS = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m console", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--capture-port",
        type=int,
        default=0,
        help="where the edge sends copies of requests that customers let us keep; 0: nowhere",
    )
    parser.add_argument(
        "--metrics-address", default="", help="where Prometheus asks, host:port; empty: nowhere"
    )
    options = parser.parse_args()
    configure_logging()
    try:
        service = build_service(read_settings(AccountsSettings, os.environ))
    except (SettingError, PriceListError, SealError, RegistryError) as error:
        logging.getLogger("console").error("%s", error)
        return 1
    RunningExperiments(service.database)
    try:
        listen_for_metrics(options.metrics_address)
    except (OSError, ValueError) as error:
        logging.getLogger("console").error("--metrics-address: %s", error)
        return 1
    push = (
        MetricPush("vision-console", os.environ) if is_switched_on("metrics", os.environ) else None
    )
    with ExitStack() as beside:
        if service.captures is not None and options.capture_port:
            beside.enter_context(listening(service.captures, options.host, options.capture_port))
        uvicorn.run(
            create_app(service),
            host=options.host,
            port=options.port,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            # Not httptools, which keeps headers of any size until they end.
            http="h11",
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            # Beyond it 503 at once: a request is 64 KiB of body at most, and every thread is taken.
            limit_concurrency=MAX_CONNECTIONS,
        )
    if push is not None:
        push.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

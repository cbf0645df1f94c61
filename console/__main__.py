"""``python -m console``: the web process."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import uvicorn

from accounts.prices import PriceListError
from accounts.service import build_service
from accounts.settings import AccountsSettings
from common.logs import configure_logging
from common.settings import SettingError, read_settings
from console.app import create_app
from console.limits import MAX_HEAD_BYTES

MAX_CONNECTIONS = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m console", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    configure_logging()
    try:
        service = build_service(read_settings(AccountsSettings, os.environ))
    except (SettingError, PriceListError) as error:
        logging.getLogger("console").error("%s", error)
        return 1
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
    return 0


if __name__ == "__main__":
    sys.exit(main())

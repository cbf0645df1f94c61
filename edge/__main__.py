"""``python -m edge``: the check and the meter."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import uvloop
from sqlalchemy.exc import IntegrityError

from accounts.database import Database, open_database
from accounts.house import open_house
from accounts.mirror import MirrorError, open_mirror
from accounts.settings import EdgeSettings
from common.logs import configure_logging
from common.metrics import listen_for_metrics
from common.otlp import MetricPush, is_switched_on
from common.settings import SettingError, read_settings
from edge.server import EdgeServer, serve
from edge.tries import TryLimits

MAX_DAYS_OF_MONTH = 31


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:9000", help="where its own Envoy asks")
    parser.add_argument(
        "--others-address",
        default="",
        help="where other Envoys ask while theirs does not answer; empty: nowhere",
    )
    parser.add_argument(
        "--metrics-address", default="", help="where Prometheus asks, host:port; empty: nowhere"
    )
    options = parser.parse_args()
    configure_logging()
    try:
        settings = read_settings(EdgeSettings, os.environ)
    except SettingError as error:
        logging.getLogger("edge").error("%s", error)
        return 1
    # A thread switch must not make a check wait for long while rows are written.
    sys.setswitchinterval(0.002)
    url = settings.database_url.get_secret_value()
    engine = open_database(url, pool_size=1, ca_file=settings.database_ca_file)
    try:
        mirror = open_mirror(settings.accounts_mirror)
    except MirrorError as error:
        logging.getLogger("edge").error("%s", error)
        return 1
    tries = TryLimits(settings.tries_per_day, settings.tries_in_all, settings.trusted_proxies)
    if tries.per_address:
        _open_house(Database(engine, mirror), tries.in_all * MAX_DAYS_OF_MONTH)
    try:
        listen_for_metrics(options.metrics_address)
    except (OSError, ValueError) as error:
        logging.getLogger("edge").error("--metrics-address=%s: %s", options.metrics_address, error)
        return 1
    push = None
    if is_switched_on("metrics", os.environ):
        push = MetricPush("vision-edge", os.environ)
    try:
        server = EdgeServer(engine, settings.account_in_flight, tries, mirror)
        uvloop.run(serve(server, options.address, options.others_address))
    finally:
        if push is not None:
            push.stop()
    return 0


def _open_house(database: Database, monthly_requests: int) -> None:
    for last in (False, True):
        try:
            with database.write() as session:
                open_house(session, monthly_requests)
        except IntegrityError:
            # Another replica has just done it; now it is there to be changed.
            if last:
                raise
        else:
            return


if __name__ == "__main__":
    sys.exit(main())

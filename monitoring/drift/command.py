"""``vision monitor drift``: a report, or a server of metrics that watches for good."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import NoReturn

from prometheus_client import CollectorRegistry, start_http_server

from common.errors import StartError
from common.ports import LOCAL_HOST, require_free
from common.processes import ROOT, interruptible
from monitoring.drift.baselines import read_baselines, write_baseline
from monitoring.drift.exposition import DriftLevels
from monitoring.drift.report import report
from monitoring.drift.series import Increases, baselines_of
from monitoring.drift.sources import Prometheus, Servers, Source
from monitoring.drift.watch import Watches
from monitoring.report import PrometheusError

FOLDER = ROOT / "build" / "monitoring" / "baselines"
HOURS = 24.0
EVERY_SECONDS = 15.0
NONE_YET = "no picture has been counted yet"
# What was counted before its first scrape came at no time that it knows.
NONE_SINCE = (
    "no picture has been counted since Prometheus looks; "
    "of those before: --servers HOST:PORT …, transformer and predictor"
)

logger = logging.getLogger("drift")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prometheus", default="http://localhost:9090", metavar="URL")
    parser.add_argument(
        "--servers",
        nargs="+",
        metavar="HOST:PORT",
        help="ask transformers and predictors themselves: what they counted since they started",
    )
    parser.add_argument("--hours", type=float, default=HOURS, help="that Prometheus is asked about")
    parser.add_argument(
        "--accept",
        metavar="MODEL/REVISION",
        help="what was counted in these hours is right: make it the baseline",
    )
    parser.add_argument(
        "--baselines", type=Path, default=FOLDER, help="folder of those accepted and learnt"
    )
    parser.add_argument(
        "--serve", metavar="[HOST:]PORT", help="watch until Ctrl-C, and expose what is seen"
    )
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, help="seconds between looks")


def run(options: argparse.Namespace) -> int:
    """
    Raises:
        StartError: an argument or a baseline's file is wrong, or the port is taken.
        PrometheusError: nobody answers.
    """
    watcher = Watcher(options)
    if options.serve:
        return _serve(watcher, options)
    watcher.catch_up(options.hours)
    if options.accept:
        return _accept(watcher, options)
    print(report(watcher.watches.of) or (NONE_YET if options.servers else NONE_SINCE))
    return 0


class Watcher:
    """The watches of all revisions, with what they are fed from."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._folder: Path = options.baselines
        self._prometheus = None if options.servers else Prometheus(options.prometheus)
        self._source: Source = self._prometheus or Servers(options.servers)
        self.watches = Watches(read_baselines(self._folder))
        self._increases = Increases(since_start=bool(options.servers))

    def catch_up(self, hours: float) -> None:
        """Look at what was counted until now."""
        self.watches.know(baselines_of(self._source.baselines()))
        if self._prometheus is not None:
            for moment in self._prometheus.history(hours * 3600, time.time()):
                self.watches.add(self._increases.take(moment.counters), moment.time)
        self.look()

    def look(self) -> float:
        """Look at what was counted since the last time; returns when that was."""
        # Somebody may have accepted another meanwhile.
        self.watches.choose(read_baselines(self._folder))
        moment = self._source.now()
        learning = {key for key, watch in self.watches.of.items() if watch.is_learning}
        self.watches.know(baselines_of(self._source.baselines()))
        self.watches.add(self._increases.take(moment.counters), moment.time)
        for key in learning:
            watch = self.watches.of[key]
            if not watch.is_learning and not watch.held_out:
                path = write_baseline(self._folder, key, watch.baseline)
                logger.info("%s: learnt what pictures are like: %s", "/".join(key), path)
        return moment.time


def _accept(watcher: Watcher, options: argparse.Namespace) -> int:
    name, _, revision = options.accept.partition("/")
    watch = watcher.watches.of.get((name, revision))
    if watch is None or not watch.pictures:
        raise StartError(f"{options.accept}: no picture was counted in {options.hours:g} hours")
    path = write_baseline(options.baselines, (name, revision), watch.counted)
    print(f"{options.accept}: {watch.pictures:,} pictures are the baseline now: {path}")
    return 0


def _serve(watcher: Watcher, options: argparse.Namespace) -> int:
    host, _, port = options.serve.rpartition(":")
    if not port.isdigit():
        raise StartError(f"--serve {options.serve} is no [HOST:]PORT")
    require_free(int(port))
    registry = CollectorRegistry()
    levels = DriftLevels(watcher.watches.of, registry)
    server, thread = start_http_server(int(port), host or LOCAL_HOST, registry)
    try:
        with interruptible():
            _watch(watcher, levels, options)
    except KeyboardInterrupt:
        return 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _watch(watcher: Watcher, levels: DriftLevels, options: argparse.Namespace) -> NoReturn:
    caught_up = False
    while True:
        try:
            if not caught_up:
                watcher.catch_up(options.hours)
                caught_up = True
            levels.seconds = watcher.look()
        except PrometheusError as error:
            logger.warning("%s", error)
        time.sleep(options.every)

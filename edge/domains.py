"""``python -m edge.domains``: proves customers' domains, and has them served with a certificate."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from accounts import domains
from accounts.database import Database, open_database
from accounts.domains import ACTIVE, PENDING, PROVEN, DomainView
from accounts.settings import DatabaseSettings
from common.logs import configure_logging
from common.settings import SettingError, read_settings
from edge.domain_certificates import LocalCertificates
from edge.domain_mappings import IN_CLUSTER, Mappings
from edge.proof import Prover

AT_ONCE, OF_AN_ACCOUNT = 16, 4
"""Domains that are looked after at once, in all and of one account."""
MAX_DUE = 1000
LOOK_SECONDS = 1.0

logger = logging.getLogger("edge.domains")


class DomainSettings(DatabaseSettings):
    """Of what proves domains."""

    domain_resolver: str = Field(
        "",
        pattern=r"^(.+:[0-9]+)?$",
        description="`address:port` of the DNS server that domains are proven by; empty: the "
        "system's",
    )
    domain_private_addresses: bool = Field(
        False, description="whether a domain may be proven by a file at a private address"
    )
    domain_proof_port: int = Field(80, ge=1, le=65535, description="port of such a file's server")


class Serving(Protocol):
    """What has a domain served; each call may be repeated."""

    def ensure(self, name: str) -> str:
        """What it still waits for; empty where it is served with a certificate."""

    def remove(self, name: str) -> str:
        """What is still there of it; empty where nothing is, its certificate included."""


class Nothing:
    """For an edge without TLS: a name that leads to it is served."""

    def ensure(self, name: str) -> str:
        return ""

    def remove(self, name: str) -> str:
        return ""


class Reconciler:
    """Does what is due: several domains at once, some of each account, one step of a name.

    A proof that is looked for may take half a minute, as long as its server likes to.
    """

    def __init__(self, database: Database, prover: Prover, serving: Serving) -> None:
        self._database = database
        self._prover = prover
        self._serving = serving
        self._lock = threading.Lock()
        self._at_work: dict[str, str] = {}
        """Account by name."""
        self._look = threading.Event()

    def run(self, ended: threading.Event) -> None:
        """Until ``ended`` is set, and what has been begun is done."""
        with ThreadPoolExecutor(AT_ONCE, "domain") as pool:
            while not ended.is_set():
                try:
                    with self._database.write() as session:
                        found = domains.due(session, MAX_DUE)
                    for domain in found:
                        if self._taken(domain):
                            pool.submit(self._work, domain)
                except SQLAlchemyError:
                    logger.warning("the database does not answer")
                # What there was no room for begins as something ends.
                self._look.wait(LOOK_SECONDS)
                self._look.clear()

    def _taken(self, domain: DomainView) -> bool:
        """Whether there is room for it; then it has its place until its work ends."""
        with self._lock:
            of_account = list(self._at_work.values()).count(domain.account_id)
            room = len(self._at_work) < AT_ONCE and of_account < OF_AN_ACCOUNT
            if domain.name in self._at_work or not room:
                return False
            self._at_work[domain.name] = domain.account_id
            return True

    def _work(self, domain: DomainView) -> None:
        is_done = False
        try:
            self._do(domain)
            is_done = True
        except SQLAlchemyError:
            logger.warning("%s: the database does not answer", domain.name)
        finally:
            with self._lock:
                del self._at_work[domain.name]
        if is_done:  # or a database that does not answer would be asked without a pause
            self._look.set()

    def _do(self, domain: DomainView) -> None:
        try:
            self._step(domain)
        except SQLAlchemyError:
            raise
        except Exception:
            logger.exception("%s", domain.name)
            with self._database.write() as session:
                domains.not_gone(session, domain, "this could not be done now")

    def _step(self, domain: DomainView) -> None:
        if domain.state == PENDING:
            self._prove(domain)
        elif domain.state in (PROVEN, ACTIVE):
            problem = self._serving.ensure(domain.name)
            with self._database.write() as session:
                domains.served(session, domain, problem)
        else:
            self._remove(domain)

    def _prove(self, domain: DomainView) -> None:
        problem = self._prover.problem(domain)
        if not problem:
            with self._database.read() as session:
                old = domains.holder(session, domain.name)
            if old is not None and not self._prover.problem(old):
                problem = "another account has proven it, and its proof still stands"
            elif old is not None:
                with self._database.write() as session:
                    domains.take_over(session, old)
        with self._database.write() as session:
            if problem:
                domains.unproven(session, domain, problem)
            else:
                domains.proven(session, domain)
        logger.info("%s: %s", domain.name, problem or "proven")

    def _remove(self, domain: DomainView) -> None:
        with self._database.read() as session:
            held = domains.holder(session, domain.name)
        # Of a name that is another's by now there is nothing of ours to take away.
        problem = self._serving.remove(domain.name) if held is None else ""
        with self._database.write() as session:
            if problem:
                domains.not_gone(session, domain, problem)
            else:
                domains.gone(session, domain)
        logger.info("%s: %s", domain.name, problem or "removed")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge.domains", description=__doc__)
    parser.add_argument(
        "--kubernetes", action="store_true", help="map them with Knative, of the cluster we are in"
    )
    parser.add_argument("--certificates", type=Path, help="the edge's folder of certificates")
    parser.add_argument("--authority", type=Path, help="folder of the authority that signs them")
    options = parser.parse_args()
    configure_logging()
    try:
        settings = read_settings(DomainSettings, os.environ)
    except SettingError as error:
        logger.error("%s", error)
        return 1
    url = settings.database_url.get_secret_value()
    database = Database(open_database(url, pool_size=4, ca_file=settings.database_ca_file))
    prover = Prover(
        settings.domain_resolver, settings.domain_private_addresses, settings.domain_proof_port
    )
    serving: Serving = Nothing()
    if options.kubernetes:
        serving = Mappings.in_cluster(IN_CLUSTER)
    elif options.certificates and options.authority:
        serving = LocalCertificates(options.certificates, options.authority)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    logger.info("looking after domains")
    Reconciler(database, prover, serving).run(ended)
    return 0


if __name__ == "__main__":
    sys.exit(main())

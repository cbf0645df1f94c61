"""Customers' domains, from a record in DNS to an answer by TLS, and their end."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import update

from accounts import domains
from accounts.database import Database, open_database
from accounts.keys import ShownKey
from accounts.tables import ApiKey, Domain
from edge.authority import Authority
from edge.certificates import Folders
from edge.domain_certificates import LocalCertificates
from edge.domains import Reconciler
from edge.proof import Prover
from tests.edge.nameserver import Records, nameserver
from tests.edge.stack import Stack, with_stub
from tests.edge.test_tls import connect
from tests.waiting import wait_until

ONE, OTHER = "vision.customer-a.example", "pictures.customer-b.example"
SECONDS = 30.0


class Site(NamedTuple):
    stack: Stack
    authority: Authority
    records: Records
    certificates: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("domains")
    authority = Authority(folder / "authority")
    folders = Folders(folder / "certificates", folder / "envoy")
    authority.issue(["vision.example", "127.0.0.1"], folders.certificates / "edge")
    records: Records = {}
    url = f"sqlite:///{folder}/accounts.db"
    ended = threading.Event()
    with nameserver(records) as resolver, with_stub(folder, url, (), folders) as stack:
        serving = LocalCertificates(folders.certificates, folder / "authority")
        reconciler = Reconciler(Database(open_database(url)), Prover(resolver), serving)
        thread = threading.Thread(target=reconciler.run, args=(ended,))
        thread.start()
        yield Site(stack, authority, records, folders.certificates)
        ended.set()
        thread.join()


def account_of(site: Site, key: ShownKey) -> str:
    with site.stack.session() as session:
        row = session.get(ApiKey, key.id)
        assert row is not None
        return row.account_id


def make_active(site: Site, key: ShownKey, name: str, **limits: object) -> str:
    """The account, once the name answers with a certificate of its own."""
    account = account_of(site, key)
    with site.stack.session() as session:
        view = domains.add(session, account, name, "vision.example", **limits)  # type: ignore[arg-type]
        # Not in a quarter of a minute.
        session.execute(update(Domain).where(Domain.name == name).values(due_ms=0))
        session.commit()
    site.records[view.txt_name, "TXT"] = [f'"{view.txt_value}"']
    wait_until(lambda: answers(site, name, key.key) == 200, SECONDS)
    return account


def answers(site: Site, name: str, key: str, model: str = "mnist") -> int:
    """The status by TLS under a name, 0 where the certificate is another's."""
    try:
        connection, _ = connect(site.stack, site.authority, name)
    except ssl.SSLError:
        return 0
    headers = {"host": name, "authorization": f"Bearer {key}", "content-type": "image/png"}
    connection.request("POST", f"/v1/models/{model}:predict", b"picture", headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_two_customers_have_a_domain_each_and_one_is_taken_away(site: Site) -> None:
    key, other = site.stack.key(), site.stack.key()
    account = make_active(site, key, ONE)
    make_active(site, other, OTHER, models=("mnist",), rate_per_second=1)
    # A key is for its own customer's domain.
    assert answers(site, ONE, other.key) == 403
    assert answers(site, OTHER, key.key) == 403
    # The service's own name is everybody's, as before.
    assert answers(site, "vision.example", other.key) == 200
    # Models and rates are the domain's.
    assert answers(site, ONE, key.key, "fashion-mnist") == 200
    assert answers(site, OTHER, other.key, "fashion-mnist") == 403
    with ThreadPoolExecutor(10) as pool:
        asked = pool.map(lambda _: answers(site, OTHER, other.key), range(30))
        assert set(asked) == {200, 429}
    assert (site.certificates / ONE / "tls.crt").exists()
    with site.stack.session() as session:
        domains.remove(session, account, ONE)
        session.commit()
    wait_until(lambda: answers(site, ONE, key.key) == 0, SECONDS)
    assert not (site.certificates / ONE).exists()
    # The other one goes on.
    wait_until(lambda: answers(site, OTHER, other.key) == 200, SECONDS)
    with site.stack.session() as session:
        assert domains.listed(session, account) == []


def test_without_a_proof_nothing_is_served(site: Site) -> None:
    key = site.stack.key()
    account = account_of(site, key)
    with site.stack.session() as session:
        domains.add(session, account, "unproven.example", "vision.example")
        session.execute(update(Domain).where(Domain.name == "unproven.example").values(due_ms=0))
        session.commit()

    def problem() -> str:
        with site.stack.session() as session:
            return domains.listed(session, account)[0].problem

    wait_until(lambda: "no TXT record" in problem(), SECONDS)
    assert not (site.certificates / "unproven.example").exists()


def test_a_name_goes_to_who_proves_it_once_the_old_proof_is_gone(site: Site) -> None:
    name = "moved.example"
    old, new = site.stack.key(), site.stack.key()
    make_active(site, old, name)
    with site.stack.session() as session:
        view = domains.add(session, account_of(site, new), name, "vision.example")
        session.commit()
    records = site.records[view.txt_name, "TXT"]

    def look() -> str:
        with site.stack.session() as session:
            mine = (Domain.name == name) & (Domain.account_id == view.account_id)
            session.execute(update(Domain).where(mine).values(due_ms=0))
            session.commit()
            (found,) = domains.listed(session, view.account_id)
        return found.problem

    site.records[view.txt_name, "TXT"] = [*records, f'"{view.txt_value}"']
    wait_until(lambda: "another account has proven it" in look(), SECONDS)
    assert answers(site, name, old.key) == 200
    site.records[view.txt_name, "TXT"] = [f'"{view.txt_value}"']
    wait_until(lambda: not look() and answers(site, name, new.key) == 200, SECONDS)
    # Asked for without a pause, the old certificate may be seen to go after that.
    wait_until(lambda: answers(site, name, old.key) == 403, SECONDS)
    wait_until(lambda: answers(site, name, new.key) == 200, SECONDS)


def test_what_knative_has_mapped_is_known_by_its_own_header(site: Site) -> None:
    key, other = site.stack.key(), site.stack.key()
    name = "mapped.example"
    make_active(site, key, name)

    def ask(told: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", site.stack.ports.edge, timeout=30)
        headers = {"host": "edge.vision.svc.cluster.local", "k-original-host": told}
        headers |= {"authorization": f"Bearer {other.key}", "content-type": "image/png"}
        connection.request("POST", "/v1/models/mnist:predict", b"picture", headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text).get("error", "") if text else ""

    # By http, as from the gateway, and not sent on to https.
    assert ask(name) == (403, f"this key is of another customer than {name}")
    assert ask("another.example")[0] == 200

"""TLS at the edge: names, renewal without a closed connection, and what is not served."""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from edge.authority import Authority
from edge.certificates import (
    CHAIN,
    KEY,
    LISTENERS,
    CertificateError,
    Folders,
    main,
    require_pair,
    usable,
    write_listener,
)
from tests.accounts.conftest import sqlite_template  # noqa: F401
from tests.edge.stack import Stack, with_stub
from tests.waiting import wait_until

OWN, CUSTOMER = "vision.example", "customer-a.example"
SECONDS = 30.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def stack(tmp_path: Path, authority: Authority) -> Iterator[Stack]:
    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    authority.issue([OWN, "127.0.0.1"], folders.certificates / "edge")
    with with_stub(tmp_path, f"sqlite:///{tmp_path}/accounts.db", (), folders) as stack:
        yield stack


def connect(
    stack: Stack, authority: Authority, name: str
) -> tuple[http.client.HTTPSConnection, int]:
    """A connection as a client of that name makes it, and its certificate's serial number."""
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    connection = http.client.HTTPSConnection("127.0.0.1", stack.ports.tls, timeout=30)
    plain = socket.create_connection(("127.0.0.1", stack.ports.tls), timeout=30)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=name)
    except ssl.SSLError:
        plain.close()
        raise
    der = connection.sock.getpeercert(binary_form=True)
    assert der is not None
    return connection, x509.load_der_x509_certificate(der).serial_number


def serial(stack: Stack, authority: Authority, name: str) -> int:
    connection, number = connect(stack, authority, name)
    connection.close()
    return number


def answers(connection: http.client.HTTPSConnection, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}", "content-type": "image/png"}
    connection.request("POST", "/v1/models/mnist:predict", b"picture", headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


def refused(stack: Stack, authority: Authority, name: str) -> bool:
    try:
        serial(stack, authority, name)
    except ssl.SSLCertVerificationError:
        return True
    return False


def served(stack: Stack, authority: Authority, name: str) -> Callable[[], bool]:
    return lambda: not refused(stack, authority, name)


def test_a_certificate_comes_is_renewed_and_goes_without_a_closed_connection(
    stack: Stack, authority: Authority
) -> None:
    key = stack.key().key
    certificates = stack.folder / "certificates"
    connection, first = connect(stack, authority, OWN)
    assert answers(connection, key)
    assert refused(stack, authority, CUSTOMER)

    authority.issue([OWN, "127.0.0.1"], certificates / "edge")
    wait_until(lambda: serial(stack, authority, OWN) != first, SECONDS)
    opened = connection.sock
    assert answers(connection, key)
    assert connection.sock is opened, "the renewal closed a connection"

    # One that does not fit keeps the others from nobody.
    authority.issue(["broken.example"], certificates / "broken")
    shutil.copy(certificates / "edge" / KEY, certificates / "broken" / KEY)
    authority.issue([CUSTOMER], certificates / CUSTOMER)
    wait_until(served(stack, authority, CUSTOMER), SECONDS)
    assert serial(stack, authority, OWN) != serial(stack, authority, CUSTOMER)
    assert refused(stack, authority, "broken.example")
    assert answers(connection, key)
    connection.close()

    shutil.rmtree(certificates / CUSTOMER)
    wait_until(lambda: refused(stack, authority, CUSTOMER), SECONDS)
    assert served(stack, authority, OWN)()


def test_http_leads_to_https_but_for_probes_and_authorities(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports.edge, timeout=30)
    for path, status in (("/v1/models?a=b", 308), ("/", 308), ("/-/ready", 200)):
        connection.request("POST", path, b"{}", {"host": "vision.example"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, path
        if status == 308:
            location = f"https://vision.example:{stack.ports.tls}{path}"
            assert answer.headers["location"] == location
    # Of a mapped domain: TLS ended at Kourier.
    connection.request("GET", "/v1/models", headers={"k-original-host": CUSTOMER})
    answer = connection.getresponse()
    answer.read()
    assert answer.status in (401, 404)
    # Nobody is there to answer it; it is not sent on.
    connection.request("GET", "/.well-known/acme-challenge/token")
    assert connection.getresponse().status == 503
    connection.close()


class Solver(http.server.BaseHTTPRequestHandler):
    """Says for which name it was asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["host"].encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_solver_is_asked_for_the_name_that_the_authority_asks_for(stack: Stack) -> None:
    """cert-manager's answers nothing for another: the gateway's host of a mapped domain is ours."""
    with http.server.HTTPServer(("127.0.0.1", stack.ports.acme), Solver) as solver:
        threading.Thread(target=solver.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", stack.ports.edge, timeout=30)
        for headers, name in (
            ({"host": "vision.example"}, "vision.example"),
            ({"host": "edge.vision.svc", "k-original-host": CUSTOMER}, CUSTOMER),
        ):
            connection.request("GET", "/.well-known/acme-challenge/token", headers=headers)
            assert connection.getresponse().read().decode() == name
        connection.close()
        solver.shutdown()


def test_half_of_a_pair_is_left_out(tmp_path: Path, authority: Authority) -> None:
    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    assert usable(folders) == []
    for name in ("b", "edge", "a"):
        authority.issue([f"{name}.example"], folders.certificates / name)
    assert usable(folders) == ["edge", "a", "b"]
    (folders.certificates / "a" / KEY).unlink()
    (folders.certificates / "b" / CHAIN).write_text("no certificate")
    assert usable(folders) == ["edge"]
    with pytest.raises(CertificateError, match=KEY):
        require_pair(folders.certificates / "a")


def test_a_pair_that_is_replaced_between_two_reads_is_not_missed(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    folder = folders.certificates / "edge"
    authority.issue([OWN], folder)
    read = Path.read_bytes
    replaced = []

    def read_bytes(path: Path) -> bytes:
        found = read(path)
        if path.name == CHAIN and not replaced:
            replaced.append(path)
            authority.issue([OWN], folder)
        return found

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    said: set[str] = set()
    assert usable(folders, said) == ["edge"]
    assert (len(replaced), said) == (1, set())


def test_a_pair_that_is_half_replaced_is_waited_for(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.certificates.SETTLED_SECONDS", 60.0)
    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    folder, other = folders.certificates / "edge", tmp_path / "other"
    authority.issue([OWN], folder)
    authority.issue([OWN], other)
    (other / KEY).replace(folder / KEY)
    looked = threading.Event()

    def sleep(_: float) -> None:
        looked.set()
        time.sleep(0.001)

    monkeypatch.setattr("edge.certificates.time", SimpleNamespace(time=time.time, sleep=sleep))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(usable, folders)
        assert looked.wait(30)
        (other / CHAIN).replace(folder / CHAIN)
        assert found.result(30) == ["edge"]


def test_a_certificate_that_came_before_the_watcher_is_listed(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def sleep(_: float) -> None:
        looks.append(listed())
        if len(looks) == 3:
            raise KeyboardInterrupt

    def listed() -> list[str]:
        document = json.loads((folders.envoy / LISTENERS).read_text())
        names: list[str] = document["version_info"].split()
        return names

    folders = Folders(tmp_path / "certificates", tmp_path / "envoy")
    authority.issue([OWN], folders.certificates / "edge")
    context: dict[str, dict[str, object]] = {"common_tls_context": {}}
    chain = {"transport_socket": {"typed_config": context}}
    write_listener(folders, {"filter_chains": [chain]}, usable(folders))
    authority.issue([CUSTOMER], folders.certificates / CUSTOMER)
    monkeypatch.setattr("edge.certificates.time", SimpleNamespace(time=time.time, sleep=sleep))
    monkeypatch.setattr("edge.certificates.configure_logging", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        main([str(folders.certificates), str(folders.envoy)])
    assert looks == [["edge"], ["edge", CUSTOMER], ["edge", CUSTOMER]]


def test_a_certificate_is_kept_until_it_ends_soon_or_has_other_names(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def number() -> int:
        return require_pair(tmp_path / "edge").serial_number

    authority.keep([OWN, "::1"], tmp_path / "edge")
    first = number()
    authority.keep([OWN, "::1"], tmp_path / "edge")
    assert number() == first
    authority.keep([CUSTOMER], tmp_path / "edge")
    second = number()
    assert second != first
    monkeypatch.setattr("edge.authority.RENEW_DAYS", 91)
    authority.keep([CUSTOMER], tmp_path / "edge")
    assert number() != second
    # Another authority's is not one of ours.
    third = number()
    Authority(tmp_path / "other").keep([CUSTOMER], tmp_path / "edge")
    assert number() != third


def test_the_keys_are_the_owners(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    authority.issue([OWN], tmp_path / "edge")
    for folder in ("authority", "edge"):
        assert (tmp_path / folder / KEY).stat().st_mode & 0o777 == 0o600
    # The same one at the next start.
    assert Authority(tmp_path / "authority").certificate_file == authority.certificate_file
    Authority(tmp_path / "authority").issue([OWN], tmp_path / "edge")

"""``make up``: models, accounts, console and edge on one machine, behind one port."""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import shlex
import sys
import urllib.request
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from accounts.migration import migrate
from accounts.seals import KEY_BYTES
from accounts.settings import DATABASE_PATH
from common.errors import StartError
from common.origins import read_origins
from common.ports import LOCAL_HOST, require_free
from common.processes import ROOT, Processes, environment_folder, interruptible, say
from common.settings import variable
from edge.authority import Authority
from edge.certificates import CHAIN, CertificateError, Folders
from edge.envoy import EdgePorts
from edge.processes import Edge, envoy_program, free_edge_ports

FOLDER = ROOT / "build" / "edge"
AUTHORITY = ROOT / "build" / "tls" / "authority"
MODELS = ROOT / "models"
TRIES_PER_DAY = 50
MODELS_SECONDS = 90.0
SAMPLE, MODEL = ROOT / "samples" / "seven.png", "mnist"
ORIGINS = variable("cors_origins")
PRIVATE_ADDRESSES = variable("domain_private_addresses")
CERTIFICATES = Folders(ROOT / "build" / "tls" / "certificates", FOLDER / "tls")
NAMES = ("localhost", "127.0.0.1", "::1")
GREETING = """
Ready: {url}

{page} Sign up there for a key; mails are printed here.
To make yourself an operator, in another shell:

  {operator}

Ctrl-C stops everything. What was recorded stays in {database};
the models' log is build/edge/models.log.
"""
BY_TLS = """
By TLS, with a certificate of this machine's own authority; http://localhost:{port} leads there:

  curl --cacert {authority} {url}/v1/models/{model}:predict \\
    --header 'content-type: image/png' --data-binary @{sample}
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision up", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the page and the models")
    parser.add_argument("--tls", action="store_true", help="https, by an authority of this machine")
    parser.add_argument("--tls-port", type=int, default=8443, help="of https; PORT= leads there")
    parser.add_argument(
        "--tries", type=int, default=TRIES_PER_DAY, help="answers a day without a key; 0: none"
    )
    parser.add_argument(
        "--counters-port",
        type=int,
        default=0,
        help="of the console's counters, which tell a rollout what experiments run; 0: none",
    )
    parser.add_argument("--database", default=f"sqlite:///{ROOT / DATABASE_PATH}")
    options = parser.parse_args(arguments)
    try:
        with interruptible(), Processes(FOLDER, logged=("models",)) as processes:
            tls_port = options.tls_port if options.tls else 0
            ports = start(
                *(processes, options.port, options.database, tls_port, options.tries),
                options.counters_port,
            )
            url = public_url(options.port, tls_port)
            greeting = GREETING.format(
                url=url,
                page="The page answers without an account." if options.tries else "",
                operator=operator_command(options.database),
                database=options.database.partition("///")[2],
            )
            say(greeting)
            if options.tls:
                say(by_tls(ports.edge, url))
            processes.wait()
    except StartError as error:
        print(f"up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
    return 0


def public_url(port: int, tls_port: int) -> str:
    return f"https://localhost:{tls_port}" if tls_port else f"http://localhost:{port}"


def by_tls(port: int, url: str) -> str:
    """How to ask by TLS: a command to paste."""
    authority = shlex.quote(str(AUTHORITY / CHAIN))
    sample, model = shlex.quote(str(SAMPLE)), MODEL
    return BY_TLS.format(port=port, authority=authority, url=url, model=model, sample=sample)


def local_certificate() -> Folders:
    """A certificate of ``NAMES`` by this machine's authority; raises StartError."""
    try:
        Authority(AUTHORITY).keep(NAMES, CERTIFICATES.certificates / CERTIFICATES.own)
    except (CertificateError, OSError) as error:
        raise StartError(f"no certificate for https: {error}") from None
    return CERTIFICATES


def operator_command(database_url: str) -> str:
    """A line to paste, wherever that is: what makes a person an operator in this database."""
    folder, url, python = (shlex.quote(str(part)) for part in (ROOT, database_url, sys.executable))
    settings = f"VISION_DEVELOPMENT=true VISION_DATABASE_URL={url}"
    return f"(cd {folder} && {settings} {python} -m accounts role you@example.org operator)"


def start(
    processes: Processes,
    port: int,
    database_url: str,
    tls_port: int = 0,
    tries: int = TRIES_PER_DAY,
    counters_port: int = 0,
) -> EdgePorts:
    """Start everything and wait until it answers; raises StartError.

    Args:
        tls_port: of https; 0: none.
        tries: answers a day that an address gets without a key.
        counters_port: of the console's counters; 0: none.
    """
    try:
        origins = read_origins(os.environ.get(ORIGINS, ""))
    except ValueError as error:
        raise StartError(f"{ORIGINS}: {error}") from None
    require_free(port)
    require_free(port + 1, f"the transformer listens on the one after PORT={port}")
    require_free(port + 2, f"the predictor listens on the second after PORT={port}")
    if tls_port:
        require_free(tls_port, "https is answered there; or another with TLS_PORT=")
    if counters_port:
        require_free(counters_port, "the console's counters; or another with --counters-port")
    envoy_program()
    ports = free_edge_ports(models=port + 1, edge=port, tls=tls_port)
    certificates = local_certificate() if tls_port else None
    environment = {
        "VISION_DATABASE_URL": database_url,
        "VISION_DEVELOPMENT": "true",
        "VISION_PUBLIC_URL": public_url(port, tls_port),
        "VISION_TRUSTED_PROXIES": "1",
        "VISION_TRIES_PER_DAY": str(tries),
        "VISION_MODEL_ROOT": str(MODELS),
    }
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        migrate(database_url)
    except (OSError, SQLAlchemyError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise StartError(f"the database cannot be used: {reason}") from None
    models_command = [str(models_python()), "-m", "local", "--port", str(port + 1), *revisions()]
    processes.start("models", models_command, {})
    edge = Edge(processes, ports, FOLDER, environment, origins=origins, certificates=certificates)
    edge.start("check")
    edge.start("shadow")
    edge.start("envoy")
    if certificates is not None:
        edge.start("certificates")
    domains = [sys.executable, "-m", "edge.domains"]
    if certificates is not None:
        domains += ["--certificates", str(certificates.certificates), "--authority", str(AUTHORITY)]
    # On this machine a domain may lead to this machine.
    processes.start("domains", domains, {**environment, PRIVATE_ADDRESSES: "true"})
    # The transformer is ready before the predictor is, and answers 503 until then.
    models = f"http://{LOCAL_HOST}:{ports.models}"
    processes.wait_for_url("models", f"{models}/v2/health/ready", MODELS_SECONDS)
    names = served(models)
    told: dict[str, str] = {}

    def answered() -> bool:
        told.update(revisions_that_answer(models, names))
        return len(told) == len(names)

    processes.wait_until("models", answered, MODELS_SECONDS)
    environment["VISION_MODELS"] = " ".join(f"{name}={told[name]}" for name in told)
    kept = folder_of(database_url)
    environment["VISION_CAPTURE_STORE"] = str(kept / "captures")
    environment["VISION_CAPTURE_KEYS_FILE"] = str(capture_key(kept / "capture-key"))
    console = [sys.executable, "-m", "console", "--host", LOCAL_HOST, "--port", str(ports.console)]
    console += ["--capture-port", str(ports.capture)]
    if counters_port:
        console += ["--metrics-address", f"{LOCAL_HOST}:{counters_port}"]
    processes.start("console", console, environment)
    processes.wait_for_url("console", f"http://{LOCAL_HOST}:{ports.console}/healthz")
    return ports


def folder_of(database_url: str) -> Path:
    """Where what belongs to a database is kept: beside its file, where it is one."""
    file = make_url(database_url).database
    if database_url.startswith("sqlite") and file:
        return Path(file).absolute().parent
    return (ROOT / DATABASE_PATH).parent


def capture_key(path: Path) -> Path:
    """The file of the key that pictures are sealed with; made at the first start."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(f"local:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}\n")
        fresh.rename(path)
    return path


def revisions(root: Path = MODELS) -> list[str]:
    """Names of the models that there are revisions of."""
    return sorted({path.parents[1].name for path in root.glob("*/*/model.json")})


def served(url: str) -> list[str]:
    """Names of the models that are served, in the page's order."""
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as response:
        names: list[str] = json.load(response)["models"]
    return sorted(names, reverse=True)


def revisions_that_answer(url: str, names: list[str]) -> dict[str, str]:
    """By model, once every one answers a picture with a prediction; empty before."""
    found = {}
    try:
        for name in names:
            request = urllib.request.Request(
                f"{url}/v1/models/{name}:predict",
                SAMPLE.read_bytes(),
                {"content-type": "image/png"},
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                found[name] = str(json.load(response)["model_version"])
    except (OSError, http.client.HTTPException):
        return {}
    return found


def models_python() -> Path:
    """The interpreter that ``make run`` uses.

    Raises:
        StartError: it is not there.
    """
    python = environment_folder("transformer") / "bin" / "python"
    if not python.exists():
        raise StartError(f"{python} is missing; `make up` installs it")
    return python


if __name__ == "__main__":
    sys.exit(main())

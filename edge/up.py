"""``make up``: models, accounts, console and edge on one machine, behind one port."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from accounts.migration import migrate
from accounts.settings import DATABASE_PATH
from common.errors import StartError
from common.ports import LOCAL_HOST, require_free
from common.processes import ROOT, Processes, environment_folder, interruptible
from edge.envoy import EdgePorts
from edge.processes import Edge, free_edge_ports

FOLDER = ROOT / "build" / "edge"
MODELS_SECONDS = 90.0
GREETING = """
Ready: http://localhost:{port}

Sign up there: mails are printed here. Make a key, and try it on the page or with curl.
To make yourself an operator:

  {python} -m accounts role you@example.org operator

Ctrl-C stops everything. What was recorded stays in {database};
the models' log is build/edge/models.log.
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision up", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the page and the models")
    parser.add_argument("--database", default=f"sqlite:///{DATABASE_PATH}")
    options = parser.parse_args(arguments)
    try:
        with interruptible(), Processes(FOLDER, logged=("models",)) as processes:
            start(processes, options.port, options.database)
            python = Path(sys.executable)
            if python.is_relative_to(Path.cwd()):
                python = python.relative_to(Path.cwd())
            database = options.database.partition("///")[2]
            print(GREETING.format(port=options.port, python=python, database=database), flush=True)
            while (name := processes.ended()) is None:
                time.sleep(0.3)
            raise StartError(f"{name} ended")
    except StartError as error:
        print(f"up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0


def start(processes: Processes, port: int, database_url: str) -> EdgePorts:
    """Start everything and wait until it answers; raises StartError."""
    require_free(port)
    # The predictor takes the port after the transformer's.
    ports = free_edge_ports(models=port + 1, edge=port)
    environment = {
        "VISION_DATABASE_URL": database_url,
        "VISION_DEVELOPMENT": "true",
        "VISION_PUBLIC_URL": f"http://localhost:{port}",
        "VISION_TRUSTED_PROXIES": "1",
    }
    migrate(database_url)
    processes.start("models", [str(models_python()), "-m", "local", "--port", str(port + 1)], {})
    console = [sys.executable, "-m", "console", "--host", LOCAL_HOST, "--port", str(ports.console)]
    processes.start("console", console, environment)
    edge = Edge(processes, ports, FOLDER, environment)
    edge.start("check")
    edge.start("envoy")
    processes.wait_for_url("console", f"http://{LOCAL_HOST}:{ports.console}/healthz")
    # The transformer is ready before the predictor is, and answers 503 until then.
    for server in (ports.models, ports.models + 1):
        url = f"http://{LOCAL_HOST}:{server}/v2/health/ready"
        processes.wait_for_url("models", url, MODELS_SECONDS)
    return ports


def models_python() -> Path:
    """The interpreter that ``make run`` uses."""
    return environment_folder("transformer") / "bin" / "python"


if __name__ == "__main__":
    sys.exit(main())

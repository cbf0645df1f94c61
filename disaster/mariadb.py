"""A MariaDB server of Debian's package, in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql

PROGRAMS = ("/usr/sbin/mariadbd", "/usr/sbin/mysqld")
PASSWORD = "drills-only"  # noqa: S105
START_SECONDS = 40.0


class MariaDb:
    """Starts and stops; ``url`` names a fresh, empty database each time."""

    def __init__(self, program: str, folder: Path, options: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._program = program
        self._made = 0
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                shutil.which("mariadb-install-db") or "mysql_install_db",
                "--no-defaults",
                f"--datadir={folder}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )
        self.start()
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE USER vision@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,))
            cursor.execute("GRANT ALL ON *.* TO vision@'127.0.0.1'")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._program,
                "--no-defaults",
                "--user=root",
                f"--datadir={self._folder}/data",
                f"--socket={self._folder}/socket",
                f"--pid-file={self._folder}/pid",
                f"--port={self._port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=32M",
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            # Of its own: pymysql leaves its socket open where nobody listens.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{self._folder}/socket")
                return
            assert self._process.poll() is None, "mariadbd ended"
            assert time.monotonic() < deadline, "mariadbd does not answer"
            time.sleep(0.1)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def url(self) -> str:
        self._made += 1
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE test_{self._made} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://vision:{PASSWORD}@127.0.0.1:{self._port}/test_{self._made}"

    def _connect(self) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(unix_socket=f"{self._folder}/socket", user="root")


def find_program() -> str | None:
    """The server's program, where its package is installed."""
    return next((program for program in PROGRAMS if Path(program).exists()), None)


@contextlib.contextmanager
def running(program: str, folder: Path, options: tuple[str, ...] = ()) -> Iterator[MariaDb]:
    """A server under ``folder``."""
    server = MariaDb(program, folder, options)
    try:
        yield server
    finally:
        server.kill()

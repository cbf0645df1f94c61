"""``python -m edge.renewal``: certificates by ACME where no cert-manager is, by certbot.

The authority asks for a file under the name, on port 80 (HTTP-01). The edge lets that path through
to the port on which certbot answers while it asks. A certificate is put where the edge looks for it
(``edge/certificates.py``), once it is whole.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.errors import StartError
from common.ports import LOCAL_HOST
from common.processes import ROOT, environment_folder
from edge.certificates import CHAIN, write_pair

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
FOLDER = ROOT / "build" / "tls"
LAST_LINES = 8
SECONDS = 300.0


class RenewalError(RuntimeError):
    """No certificate was issued; the message has what certbot said."""


@dataclass(frozen=True)
class PublicAuthority:
    """An ACME server, and our account there.

    Attributes:
        certificates: the edge's folder of folders.
        state: of certbot: account, certificates and when each is due.
        port: of the loopback address, where the edge sends challenges (``EdgePorts.acme``).
        server: URL of its directory.
        mail: where it may write to; empty: nowhere.
    """

    certificates: Path
    state: Path
    port: int
    server: str = LETS_ENCRYPT
    mail: str = ""

    def obtain(self, name: str) -> None:
        """A certificate of this name; the one that is there, where it is not due.

        Raises:
            RenewalError: the authority does not issue one, as where the name does not lead here.
        """
        account = ["--email", self.mail] if self.mail else ["--register-unsafely-without-email"]
        name_of = ["--keep-until-expiring", "--cert-name", name, "--domain", name]
        self._certbot(["certonly", *name_of, "--agree-tos", *account, "--server", self.server])
        self._hand_over()

    def renew(self, now: bool = False) -> list[str]:
        """Renew what is due, which is a third of its time before its end or when the authority
        says so.

        Args:
            now: all of them, due or not.

        Returns:
            Names of what is new.

        Raises:
            RenewalError: one could not be renewed; the others are.
        """
        try:
            self._certbot(["renew", "--no-random-sleep-on-renew", *(["--force-renewal"] * now)])
        finally:
            changed = self._hand_over()
        return changed

    def remove(self, name: str) -> None:
        """Forget a name: its certificate is not renewed, and not served."""
        self._certbot(["delete", "--cert-name", name])
        for file in (self.certificates / name).glob("*"):
            file.unlink()
        (self.certificates / name).rmdir()

    def _hand_over(self) -> list[str]:
        changed = []
        for live in sorted((self.state / "live").glob("*/fullchain.pem")):
            chain = live.read_bytes()
            folder = self.certificates / live.parent.name
            present = folder / CHAIN
            if not present.exists() or present.read_bytes() != chain:
                write_pair(folder, chain, live.with_name("privkey.pem").read_bytes())
                changed.append(folder.name)
        return changed

    def _certbot(self, arguments: list[str]) -> None:
        folders = [f"--config-dir={self.state}", f"--work-dir={self.state}/work"]
        folders.append(f"--logs-dir={self.state}/logs")
        ours = ["--standalone", f"--http-01-address={LOCAL_HOST}", f"--http-01-port={self.port}"]
        command = [str(certbot_program()), *arguments, *folders, "--non-interactive"]
        if arguments[0] != "delete":
            command += ours
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise RenewalError(f"certbot did not end within {SECONDS:.0f} s") from None
        if done.returncode:
            said = "\n  ".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
            raise RenewalError(f"certbot failed:\n  {said}")


def certbot_program(folder: Path = ROOT) -> Path:
    """Where certbot is in the edge's environment, as ``make`` lays it out.

    Raises:
        StartError: it is not installed.
    """
    program = environment_folder("edge", folder) / "bin" / "certbot"
    if not program.exists():
        raise StartError(f"certbot is missing: {program} is not installed; `make up` installs it")
    return program


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m edge.renewal", description=__doc__)
    parser.add_argument("names", nargs="*", help="to obtain; none: renew what is due")
    parser.add_argument("--remove", metavar="NAME", help="forget this one")
    parser.add_argument("--certificates", type=Path, default=FOLDER / "certificates")
    parser.add_argument("--state", type=Path, default=FOLDER / "acme")
    parser.add_argument("--port", type=int, default=8402, help="where the edge sends challenges")
    parser.add_argument("--server", default=LETS_ENCRYPT, help="the ACME directory")
    parser.add_argument("--mail", default="", help="where the authority may write to")
    options = parser.parse_args(arguments)
    authority = PublicAuthority(
        options.certificates, options.state, options.port, options.server, options.mail
    )
    try:
        if options.remove:
            authority.remove(options.remove)
        for name in options.names:
            authority.obtain(name)
        changed = [] if options.names or options.remove else authority.renew()
    except (StartError, RenewalError, OSError) as error:
        print(f"renewal: {error}", file=sys.stderr)
        return 1
    for name in changed:
        print(f"{name}: renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

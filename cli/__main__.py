"""``vision COMMAND …``: everything this project does, one verb each.

``vision COMMAND --help`` has a command's options. Make's targets call these.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from cli.commands import COMMANDS, Command

ROOT = Path(__file__).parent.parent
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    # The command's own options are the command's to read.
    options = _parser().parse_args(given[:1])
    # Told to end is ended as by Ctrl-C: locks are given back, processes stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(options.command, COMMANDS[options.command], given[1:])
    except KeyboardInterrupt:
        print(f"\n{options.command}: interrupted", file=sys.stderr)
        return INTERRUPTED


def run(name: str, command: Command, arguments: list[str]) -> int:
    """Call the command's room here, or in the environment that make has installed for it."""
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in sys.modules or find_spec(missing) is not None:
            raise  # a fault of our own, not something to install
        python = installed(command.environment, os.environ)
        if python is None:
            print(f"{name}: {missing} is not installed; {how_to_install(command)}", file=sys.stderr)
            return 1
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(python, [str(python), "-m", "cli", name, *arguments])  # noqa: S606
    status: int = module.main([*command.before, *arguments])
    return status


def installed(environment: str, variables: Mapping[str, str]) -> Path | None:
    """The Python of an environment of make's, if it is there and not the one that runs this."""
    folder = Path(variables.get("VENVS") or ROOT / ".venv") / environment
    python = folder / "bin" / "python"
    if not python.exists() or folder.resolve() == Path(sys.prefix).resolve():
        return None
    return python


def how_to_install(command: Command) -> str:
    return f"try: pip install -e '{ROOT}[{command.extras}]'"


def _parser() -> argparse.ArgumentParser:
    lines = []
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines += ["", f"{group}:"]
        lines += [f"  {n:<16} {c.about}" for n, c in COMMANDS.items() if c.group == group]
    parser = argparse.ArgumentParser(
        prog="vision",
        description=__doc__,
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    return parser


if __name__ == "__main__":
    sys.exit(main())

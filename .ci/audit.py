"""Known faults of locked dependencies: ``audit.py [--required] LOCK …``.

Exit status 1 if there is a known fault. A dependency that could not be looked up is *not audited*,
which is said, and is no pass: with ``--required`` it is exit status 1 too, for machines that reach
the advisories.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps")
"""Locks name everything that is installed: there is nothing to resolve."""

PIN = re.compile(r"^[A-Za-z0-9._-]+(\[[^]]*\])?==[^\s\\]+(\s*;[^\\]*)?", re.MULTILINE)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="audit.py", description=__doc__)
    parser.add_argument("--required", action="store_true", help="fail on what is not audited")
    parser.add_argument("locks", nargs="+", metavar="LOCK")
    options = parser.parse_args(arguments)
    dependencies = []
    for pins in _files(_pins(options.locks)):
        try:
            dependencies += _audited(pins)
        except AuditError as error:
            print(f"dependencies: NOT AUDITED: {error}", file=sys.stderr)
            return int(options.required)
    audited = [item for item in dependencies if "vulns" in item]
    faults = [(item, fault) for item in audited for fault in item["vulns"]]
    for item, fault in faults:
        fixed = ", ".join(fault.get("fix_versions", [])) or "nowhere yet"
        print(f"{item['name']} {item['version']}: {fault['id']}, fixed in {fixed}")
    if audited:
        print(f"dependencies: {len(audited)} audited, {len(faults)} known faults")
    skipped = [item for item in dependencies if "vulns" not in item]
    if skipped or not dependencies:
        print(f"dependencies: NOT AUDITED: {_reasons(skipped)}", file=sys.stderr)
    return int(bool(faults) or (options.required and (bool(skipped) or not dependencies)))


class AuditError(Exception):
    """pip-audit has not looked anything up; says why."""


def _audited(pins: list[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each of them.

    Raises:
        AuditError: it says nothing that can be read.
    """
    command = [*COMMAND, "--format", "json", "--progress-spinner", "off", "--requirement"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pins.txt"
        # Without hashes, which not all locks have: pip-audit wants them of all or of none.
        path.write_text("\n".join(pins))
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines()[-1:] or ["pip-audit printed nothing"]
        raise AuditError(said[0]) from None
    return found


def _pins(locks: list[str]) -> set[str]:
    """Every ``name==version`` with its marker, once."""
    return {found[0].strip() for lock in locks for found in PIN.finditer(Path(lock).read_text())}


def _files(pins: set[str]) -> list[list[str]]:
    """The pins, in as many lists as a package has: pip-audit takes one version of each."""
    files: list[list[str]] = [[]]
    named: Counter[str] = Counter()
    for pin in sorted(pins):
        name = re.split(r"[\[=]", pin, maxsplit=1)[0]
        if named[name] == len(files):
            files.append([])
        files[named[name]].append(pin)
        named[name] += 1
    return files


def _reasons(skipped: list[dict[str, str]]) -> str:
    """How many were left out for want of what, and three of their names."""
    if not skipped:
        return "the locks name nothing"
    names = ", ".join(item["name"] for item in skipped[:3]) + (" …" if len(skipped) > 3 else "")
    # A reason names its dependency and version; without them the same one is counted once.
    counted = Counter(
        re.sub(r" \([^)]*\)$", "", item.get("skip_reason", "no reason given")).replace(
            item["name"], "it"
        )
        for item in skipped
    )
    reason, _ = counted.most_common(1)[0]
    return f"{len(skipped)} ({names}): {reason}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

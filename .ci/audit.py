"""Known faults of locked dependencies: ``audit.py LOCK …``, 1 if there is one.

Where the advisories cannot be reached nothing is audited, and that is said: a missing network is
no fault of a dependency.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main(locks: list[str]) -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    command += ["--format", "json", "--progress-spinner", "off"]
    for lock in locks:
        command += ["--requirement", lock]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print("dependencies: not audited, the advisories cannot be reached", file=sys.stderr)
        return 0
    audited = [item for item in dependencies if "vulns" in item]
    faults = [(item, fault) for item in audited for fault in item["vulns"]]
    for item, fault in faults:
        fixed = ", ".join(fault.get("fix_versions", [])) or "nowhere yet"
        print(f"{item['name']} {item['version']}: {fault['id']}, fixed in {fixed}")
    print(f"dependencies: {len(audited)} of {len(dependencies)} audited, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

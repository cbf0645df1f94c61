"""Lines that the tests ran, by folder, from the last ``make test``: ``coverage_by_folder.py``.

Servers that tests start are processes of their own and are not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter


def main() -> int:
    command = [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"coverage: {done.stderr or done.stdout}", file=sys.stderr)
        return 1
    lines: Counter[str] = Counter()
    run: Counter[str] = Counter()
    for path, file in json.loads(done.stdout)["files"].items():
        folder = path.partition("/")[0]
        lines[folder] += file["summary"]["num_statements"]
        run[folder] += file["summary"]["covered_lines"]
    print("coverage, by folder")
    for folder in sorted(lines, key=lambda name: run[name] / max(lines[name], 1)):
        print(f"  {folder:<12} {run[folder] / max(lines[folder], 1):6.1%} of {lines[folder]:6}")
    print(f"  {'all':<12} {run.total() / lines.total():6.1%} of {lines.total():6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

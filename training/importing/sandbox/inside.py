"""``python -m training.importing.sandbox.inside``: the confined process; its order is on stdin.

Nothing that starts threads is imported before the process is confined: threads that are there
already would keep their rights.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from training.importing.errors import ImportRefusedError
from training.importing.sandbox.confinement import Bounds, confine, limit
from training.importing.sandbox.process import REPORT, ROOT


def main() -> None:
    order = json.load(sys.stdin)
    out = Path(order["out"])
    limit(Bounds(**order["bounds"]))
    code = [Path(order["code"])] if order["code"] else []
    if order["confined"]:
        rooms = [path.parent for path in ROOT.glob("*/__init__.py")]
        installed = [Path(p) for p in sys.path if p and Path(p) not in (ROOT, out)]
        readable = [*rooms, *installed, *code, *map(Path, order["readable"])]
        confine(readable, [out, Path("/dev/null")], listed=[ROOT])
    sys.path[:0] = map(str, code)
    module, _, name = order["call"].partition(":")
    try:
        report = getattr(importlib.import_module(module), name)(out, order["request"])
    except ImportRefusedError as error:
        report = {"refused": str(error)}
    (out / REPORT).write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()

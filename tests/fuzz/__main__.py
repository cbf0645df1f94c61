"""Fuzz one reader of bytes for a while: ``python -m tests.fuzz TARGET --seconds 600``.

Coverage-guided, by atheris (``pip install atheris``; it is not among the locked packages, for it
has wheels for few versions of Python). What it found interesting is kept under ``build/fuzz`` for
the next run; a finding is printed and written there. Put it, made small, into ``corpus/TARGET``.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ["artifact", "common", "serving", "tasks", "transformer", "tests.fuzz", "tifffile", "PIL"]
MAX_INPUT_BYTES = 8192


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ModuleNotFoundError:
        print("fuzz: atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=ROOMS):
        from tests.fuzz.targets import TARGETS
    if options.target not in TARGETS:
        parser.error(f"target {options.target!r} not found; available: {', '.join(TARGETS)}")
    target = TARGETS[options.target]
    folder = ROOT / "build" / "fuzz" / options.target
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        with contextlib.suppress(*target.refusals):
            target.read(data)

    arguments = [f"-max_total_time={options.seconds}", f"-max_len={MAX_INPUT_BYTES}"]
    arguments += ["-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={folder}/finding-"]
    atheris.Setup([sys.argv[0], *arguments, str(folder)], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())

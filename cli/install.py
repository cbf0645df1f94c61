"""``python -m cli.install ENVIRONMENT …``: what make installs before a target runs.

Needs nothing but Python's standard library. An environment is made anew when the pins of its locks
are others than those it was made from, which ``<environment>.done`` holds the digest of. An empty
``.done`` file says that its owner looks after the environment: it is taken as it is.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^[A-Za-z0-9._-]+(?:\[[^]]*\])?==[^\s\\]+", re.MULTILINE)
DOWNLOAD = re.compile(r"Downloading .*\(([0-9.]+) ([kMG]?)B\)")
STEPS = ("Collecting ", "Processing ", "Downloading ", "  Downloading ", "Installing ")
"""Beginnings of pip's lines that say how far it is."""
MEGABYTES = {"": 1e-6, "k": 1e-3, "M": 1.0, "G": 1e3}
LAST_LINES = 20
"""Of pip's output, shown where it fails."""

TORCH, TORCHVISION = "requirements/predictor-torch.txt", "requirements/training-torch.txt"
PROTO = "requirements/opentelemetry-proto.txt"
CUDA_GIGABYTES = 5.0
"""By which the CUDA build is larger than the CPU build, on disk."""


class InstallError(RuntimeError):
    """An environment cannot be made; the message says why, for a person."""


@dataclass(frozen=True)
class Environment:
    """One virtual environment.

    Attributes:
        gigabytes: on disk, with the CPU build of torch.
        locks: pinned with hashes.
        torch: pinned without, since builds of several indexes fit.
        alone: installed last, over what is there, and without their dependencies, which are among
            the others.
    """

    gigabytes: float
    locks: tuple[str, ...]
    torch: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        return self.locks + self.torch + self.alone


ENVIRONMENTS = {
    "transformer": Environment(0.5, ("requirements/transformer.txt",)),
    "predictor": Environment(
        1.6, ("requirements/predictor.txt", "requirements/predictor-openvino.txt"), (TORCH,)
    ),
    "accounts": Environment(0.2, ("requirements/accounts.txt",), alone=(PROTO,)),
    "edge": Environment(0.1, ("requirements/edge.txt",)),
    "rollout": Environment(0.5, ("requirements/rollout.txt",)),
    # What the accounts' image has besides its own: a mirror may be in a bucket.
    "mirror": Environment(0.1, ("requirements/mirror.txt",)),
    "disaster": Environment(0.3, ("requirements/disaster.txt",)),
    "training": Environment(
        2.2,
        ("requirements/training.txt",),
        (TORCH,),
        (TORCHVISION, "requirements/timm.txt", "requirements/kubectl.txt", PROTO),
    ),
    "bench-profile": Environment(0.1, ("benchmarks/requirements/profile.txt",)),
}
for _peer in ("kserve", "fastapi", "litserve", "bentoml", "mlserver", "torchserve"):
    ENVIRONMENTS[f"bench-{_peer}"] = Environment(
        1.2,
        (f"benchmarks/requirements/{_peer}.txt",),
        (TORCH,),
        (TORCHVISION,),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cli.install", description=__doc__)
    parser.add_argument("names", nargs="+", choices=ENVIRONMENTS, metavar="ENVIRONMENT")
    parser.add_argument("--venvs", type=Path, default=ROOT / ".venv", help="folder of them")
    parser.add_argument("--torch-index", default="", help="wheel index of torch")
    parser.add_argument("--optional", action="store_true", help="go on where one cannot be made")
    options = parser.parse_args(arguments)
    options.venvs.mkdir(parents=True, exist_ok=True)
    if not any(stale(options.venvs, name) for name in options.names):
        return 0
    with (options.venvs / ".lock").open("w") as lock:
        # Two makes at once would empty each other's folder.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another installation into {options.venvs}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in dict.fromkeys(options.names) if stale(options.venvs, name)]
        for number, name in enumerate(missing, 1):
            try:
                step = f"{number}/{len(missing)}"
                install(name, options.venvs, options.torch_index, f"{step} {name}")
            except InstallError as error:
                print(f"{name}: {error}", file=sys.stderr)
                if not options.optional:
                    return 1
                print(f"{name} is not installed; the rest goes on without it", file=sys.stderr)
    return 0


def stale(venvs: Path, name: str) -> bool:
    """Whether an environment is missing, or was made from other pins."""
    done = venvs / f"{name}.done"
    if not done.exists() or not (venvs / name / "bin" / "python").exists():
        return True
    made_from = done.read_text().strip()
    return made_from not in ("", digest(ENVIRONMENTS[name].files))


def digest(files: Iterable[str]) -> str:
    """Of all pins: comments and hashes may change, and what is installed is the same."""
    pins = sorted({pin for file in files for pin in PIN.findall((ROOT / file).read_text())})
    return hashlib.sha256("\n".join(pins).encode()).hexdigest()


def install(name: str, venvs: Path, torch_index: str, title: str) -> None:
    """Make one environment anew; raises InstallError."""
    environment = ENVIRONMENTS[name]
    cuda = bool(environment.torch) and not torch_index and has_cuda_builds()
    gigabytes = environment.gigabytes + (CUDA_GIGABYTES if cuda else 0)
    size = f"up to {gigabytes:.0f}" if cuda else f"about {gigabytes:.1f}"
    print(f"installing {title}, {size} GB on disk, into {venvs / name}", flush=True)
    free = shutil.disk_usage(venvs).free / 1e9
    if free < environment.gigabytes:
        raise InstallError(f"not enough disk space: {free:.1f} GB free, {size} GB needed")
    if cuda:
        print(
            "  torch: for Linux the usual package index has the CUDA build, about 3 GB to download."
            "\n  Without a GPU, stop here (Ctrl-C) and say CPU=1: the CPU build is 0.2 GB.",
            flush=True,
        )
    (venvs / f"{name}.done").unlink(missing_ok=True)
    shutil.rmtree(venvs / name, ignore_errors=True)
    made = [sys.executable, "-m", "venv", str(venvs / name)]
    if subprocess.run(made, stdout=subprocess.DEVNULL, check=False).returncode:
        raise InstallError(
            "cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
        )
    python = venvs / name / "bin" / "python"
    index = ["--index-url", torch_index] if torch_index else []
    packages = sum(len(PIN.findall((ROOT / file).read_text())) for file in environment.locks)
    for file in environment.locks:
        pip(python, ["--require-hashes", "-r", file], f"{title}: {packages} pins", sys.stdout)
    for file in environment.torch:
        pip(python, [*index, "-r", file], f"{title}: torch", sys.stdout)
    for file in environment.alone:
        # Where a file has hashes pip checks them without being told.
        own = index if file == TORCHVISION else []
        over = ["--no-deps", "--force-reinstall", *own, "-r", file]
        pip(python, over, f"{title}: {Path(file).stem}", sys.stdout)
    (venvs / f"{name}.done").write_text(digest(environment.files) + "\n")


def has_cuda_builds() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64"


def pip(python: Path, arguments: list[str], title: str, out: TextIO) -> None:
    """Run pip; a terminal shows how far it is. Raises InstallError, with pip's last lines."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    last: list[str] = []
    collected, megabytes = 0, 0.0
    with subprocess.Popen(
        [*command, "--progress-bar", "off", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            last = [*last[1 - LAST_LINES :], line]
            if not line.startswith(STEPS):
                continue
            collected += line.startswith(("Collecting ", "Processing "))
            if found := DOWNLOAD.search(line):
                megabytes += float(found[1]) * MEGABYTES[found[2]]
            if out.isatty():
                doing = line.strip().split(" (")[0]
                text = f"  {title}; {collected} found, {megabytes:.0f} MB; {doing}"
                out.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\033[K")
                out.flush()
    if out.isatty():
        out.write("\r\033[K")
    if running.returncode:
        raise InstallError(f"pip failed:\n{''.join(last)}")
    print(f"  {title}: done, {megabytes:.0f} MB downloaded", file=out, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; the same command begins this step again", file=sys.stderr)
        sys.exit(130)

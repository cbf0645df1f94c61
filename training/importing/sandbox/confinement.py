"""What a process gives up before it opens what may be code."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.importing.sandbox import landlock, seccomp

GIGABYTE = 1 << 30
MOST_FILES = 1024

SYSTEM = (
    *("/usr/lib", "/usr/lib64", "/usr/share", "/lib", "/lib64", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types"),
    *("/dev/null", "/dev/urandom", "/dev/zero"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/proc/stat", "/sys/devices/system"),
)
"""What Python and PyTorch read of a machine."""

SET_PARENT_DEATH_SIGNAL, SET_NO_NEW_PRIVILEGES = 1, 38
CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True)
class Bounds:
    """What the process may take.

    Attributes:
        memory_gigabytes: of addresses, which are more than what is in use.
        seconds: by the clock.
    """

    memory_gigabytes: float = 16.0
    seconds: float = 600.0


def missing() -> str | None:
    """Why a process cannot be confined here; None where it can."""
    if sys.platform != "linux":
        return f"it needs Linux's Landlock and seccomp, and this is {sys.platform}"
    if landlock.version() < landlock.NEEDED_VERSION:
        return "this kernel has no Landlock of version 3 (Linux 6.2, CONFIG_SECURITY_LANDLOCK)"
    if seccomp.find() is None:
        return f"{seccomp.LIBRARY} is missing (on Debian and Ubuntu: apt install libseccomp2)"
    return None


def limit(bounds: Bounds) -> None:
    """Bound memory, time and files of this process, and end it with the one that started it."""
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    memory = int(bounds.memory_gigabytes * GIGABYTE)
    processor = int(bounds.seconds * (os.cpu_count() or 1)) + 1
    for which, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_NOFILE, MOST_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def confine(
    readable: Iterable[Path], writable: Iterable[Path], listed: Iterable[Path] = ()
) -> None:
    """Give up everything but these paths, Python's own, and computing. Cannot be undone.

    Only the calling thread and those that it starts afterwards are confined: nothing that starts
    threads may have been used before.

    Raises:
        OSError: the kernel refuses.
    """
    _prctl(SET_NO_NEW_PRIVILEGES, 1)
    _drop_capabilities()
    landlock.restrict([*map(Path, SYSTEM), *python_paths(), *readable], writable, listed)
    seccomp.restrict()


def python_paths() -> list[Path]:
    """Where Python finds its modules, and their shared libraries."""
    prefixes = [sys.prefix, sys.base_prefix]
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")]
    return [*(Path(p) / "lib" for p in prefixes), *map(Path, libraries)]


def _drop_capabilities() -> None:
    """Take from root what makes it more than any other user."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    if landlock.libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())):
        raise OSError(ctypes.get_errno(), "capset failed")


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if landlock.libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "prctl failed")

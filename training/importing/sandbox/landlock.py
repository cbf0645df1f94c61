"""Landlock: a process gives up access to files and to TCP for good, without being root.

https://docs.kernel.org/userspace-api/landlock.html; the packages that wrap it are pre-releases.
The version of the interface that is needed, 3, came with Linux 6.2: before it a file could be
truncated in spite of the rules.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

NEEDED_VERSION = 3
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls; the same on every architecture."""

ASK_VERSION = 1
PATH_BENEATH = 1

READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE = sum(1 << bit for bit in (1, 4, 5, 7, 8, 14))
"""Write, truncate and remove files, make and remove folders; no links, sockets or devices."""
OF_FILES = READ_FILE | 1 << 1 | 1 << 14
ALL_FILES = {3: (1 << 15) - 1, 4: (1 << 15) - 1}
ALL_FILES_WITH_DEVICES = (1 << 16) - 1
TCP = 0b11
SCOPES = 0b11
"""Abstract Unix sockets and signals, to processes outside."""

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    """``struct landlock_ruleset_attr``: what is denied unless a rule allows it."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class PathBeneath(ctypes.Structure):
    """``struct landlock_path_beneath_attr``: what is allowed under a path."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    found: int = libc.syscall(
        CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION)
    )
    return max(0, found)


def restrict(
    readable: Iterable[Path], writable: Iterable[Path], listed: Iterable[Path] = ()
) -> None:
    """Deny this thread, and all that it starts, every other file, running programs, and TCP.

    Args:
        listed: folders whose names may be read, but no file.

    Raises:
        OSError: the kernel refuses.
    """
    known = version()
    attributes = Ruleset(
        ALL_FILES.get(known, ALL_FILES_WITH_DEVICES),
        TCP if known >= 4 else 0,
        SCOPES if known >= 6 else 0,
    )
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = _call(CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(ruleset, path, READ_FILE | READ_DIR)
        for path in listed:
            _allow(ruleset, path, READ_DIR)
        for path in writable:
            _allow(ruleset, path, READ_FILE | READ_DIR | WRITE)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # nothing to allow
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= OF_FILES
        rule = PathBeneath(rights, opened)
        _call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    found: int = libc.syscall(number, *arguments)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return found

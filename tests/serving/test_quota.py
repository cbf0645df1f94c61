from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np
import pytest

from serving.quota import cpu_quota, give_back_freed, memory_limit, memory_used


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def version_one(root: Path, quota: str, period: str = "100000", folder: str = "cpu") -> None:
    write(root / folder / "cpu.cfs_quota_us", quota + "\n")
    write(root / folder / "cpu.cfs_period_us", period + "\n")


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000\n", 2.0),
        ("50000 100000\n", 0.5),
        ("1600000 100000\n", 8.0),
        ("max 100000\n", 8.0),
        ("\n", 8.0),
        ("rubbish\n", 8.0),
        ("lots 100000\n", 8.0),
    ],
    ids=repr,
)
def test_version_two(tmp_path: Path, text: str, cores: float) -> None:
    write(tmp_path / "cpu.max", text)
    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(
    ("quota", "cores"), [("150000", 1.5), ("-1", 8.0), ("0", 8.0), ("9900000", 8.0), ("", 8.0)]
)
def test_version_one(tmp_path: Path, folder: str, quota: str, cores: float) -> None:
    version_one(tmp_path, quota, folder=folder)
    assert cpu_quota(tmp_path) == cores


def test_version_two_goes_before_version_one(tmp_path: Path) -> None:
    version_one(tmp_path, "100000")
    write(tmp_path / "cpu.max", "300000 100000")
    assert cpu_quota(tmp_path) == 3.0


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) == 8.0
    assert cpu_quota(tmp_path / "missing") == 8.0


MACHINE = 8 << 30


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("memory.max", "1073741824\n", 1 << 30),
        ("memory.max", "max\n", MACHINE),
        ("memory.max", "rubbish\n", MACHINE),
        ("memory.max", str(1 << 50), MACHINE),
        ("memory/memory.limit_in_bytes", "536870912\n", 1 << 29),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE),
        ("other", "1\n", MACHINE),
    ],
)
def test_memory_is_the_cgroups_or_the_machines(
    file: str, text: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"SC_PHYS_PAGES": MACHINE >> 12, "SC_PAGE_SIZE": 1 << 12}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    write(tmp_path / file, text)
    assert memory_limit(tmp_path) == expected


def test_memory_in_use_grows_with_what_is_written() -> None:
    before = memory_used()
    held = bytearray(b"x" * (64 << 20))
    assert 60 << 20 < memory_used() - before < 160 << 20
    assert len(held) == 64 << 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what was freed")
def test_what_was_freed_is_given_back() -> None:
    # Too small for memory of their own from the system; the last one holds the heap's end.
    arrays = [np.ones(12_000) for _ in range(800)]
    held = arrays.pop()
    arrays.clear()
    before = memory_used()
    give_back_freed()
    assert before - memory_used() > 60_000_000
    assert held.all()

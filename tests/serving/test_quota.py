from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.quota import cpu_quota


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

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from serving.heartbeat import EXIT_STATUS, Heartbeat
from tests.waiting import until


async def test_a_loop_that_turns_is_left_alone() -> None:
    left: list[int] = []
    heartbeat = Heartbeat(0.2, leave=left.append)
    heartbeat.start(asyncio.get_running_loop())
    await asyncio.sleep(0.5)
    heartbeat.stop()
    assert left == []


async def test_a_loop_that_stands_still_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    left: list[int] = []
    Heartbeat(0.05, leave=left.append).start(asyncio.get_running_loop())
    time.sleep(0.3)
    assert left == [EXIT_STATUS]
    assert "the event loop has stood still" in caplog.text


async def test_so_does_work_that_is_stuck(caplog: pytest.LogCaptureFixture) -> None:
    left: list[int] = []
    Heartbeat(0.05, lambda: 9.0, left.append).start(asyncio.get_running_loop())
    await until(lambda: left == [EXIT_STATUS])
    assert "all forward passes have stood still for 9 s" in caplog.text


def test_a_process_that_hangs_is_gone() -> None:
    code = """
import asyncio, time
from serving.heartbeat import Heartbeat
async def hang():
    Heartbeat(0.1).start(asyncio.get_running_loop())
    time.sleep(60)
asyncio.run(hang())
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=50)
    assert done.returncode == EXIT_STATUS


def test_its_thread_ends_with_the_loop() -> None:
    left: list[int] = []

    async def begin() -> None:
        Heartbeat(0.1, leave=left.append).start(asyncio.get_running_loop())

    asyncio.run(begin())
    time.sleep(0.3)
    assert left == []

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.processes import cpu_seconds, machine_busy_seconds, memory, tree

BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
NESTED = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])\ninput()"


def test_cpu_time_and_memory_cover_descendants() -> None:
    machine = machine_busy_seconds()
    parent = subprocess.Popen(
        [sys.executable, "-c", NESTED, BURN.format(0.5)], stdin=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while len(tree([parent.pid])) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert tree([parent.pid])[0] == parent.pid
        both = memory([parent.pid])
        assert both.resident > 10e6
        assert 0 < both.proportional <= both.resident
        while cpu_seconds([parent.pid]) < 0.3 and time.monotonic() < deadline:
            time.sleep(0.02)
        # The child has ended, or will; what it used stays counted. It burns more than is asked for,
        # because each of the system's four counters is cut to hundredths of a second.
        assert 0.3 <= cpu_seconds([parent.pid]) < 5
        assert machine_busy_seconds() - machine >= 0.25
    finally:
        parent.communicate(b"\n")


def test_what_has_ended_is_left_out() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert tree([child.pid]) == []
    assert cpu_seconds([child.pid]) == 0
    assert memory([child.pid]).resident == 0
    assert os.getpid() in tree([os.getpid()])

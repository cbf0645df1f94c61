"""A moment of what ``python -m tests.fuzz`` does for minutes, and all that it ever found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
CHANGES = 300


def changed(source: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(source.randrange(1, 6)):
        place = source.randrange(len(found) + 1)
        found[place : place + source.randrange(3)] = source.choice(
            [b"", b"\0", b"\xff\xff", b"[", b"{", b'"', b"9" * 30, source.randbytes(4)]
        )
    return bytes(found)


def read(target: Target, data: bytes) -> bool:
    """Whether the data was taken; anything but a refusal is raised."""
    try:
        target.read(data)
    except target.refusals:
        return False
    return True


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_reads_or_refuses(name: str) -> None:
    target, source = TARGETS[name], random.Random(name)
    for found in sorted((CORPUS / name).glob("*")):
        read(target, found.read_bytes())
    seeds = target.seeds()
    taken = [read(target, seed) for seed in seeds]
    # What begins with nothing valid would find nothing.
    assert any(taken), "every seed is refused"
    for _ in range(CHANGES):
        read(target, changed(source, source.choice(seeds)))

from __future__ import annotations

import gzip
import zlib

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from serving.grpc.messages import (
    CODES,
    MessageReader,
    RpcError,
    read_details,
    read_timeout,
    write_details,
    write_message,
    write_timeout,
)

MOST = 100_000


def prefixed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


def read(data: bytes, encoding: str = "identity", most: int = MOST) -> bytes:
    reader = MessageReader(most, encoding)
    reader.feed(memoryview(data))
    return bytes(reader.finish())


def status_of(data: bytes, encoding: str = "identity", most: int = MOST) -> StatusCode:
    with pytest.raises(RpcError) as caught:
        read(data, encoding, most)
    return caught.value.code


@given(st.binary(max_size=200), st.lists(st.integers(0, 30), max_size=20))
def test_a_message_arrives_however_it_is_cut(message: bytes, cuts: list[int]) -> None:
    data = b"".join(write_message(message))
    assert data == prefixed(message)
    reader = MessageReader(MOST)
    at = 0
    for size in [*cuts, len(data)]:
        reader.feed(memoryview(data)[at : at + size])
        at += size
    assert reader.finish() == message


def test_a_large_message_is_not_copied() -> None:
    message = bytes(100_000)
    prefix, body = write_message(message)
    assert (bytes(prefix), body.obj) == (prefixed(message)[:5], message)
    assert len(write_message(b"small")) == 1


@pytest.mark.parametrize("size", [0, 1, 4, 7])
def test_half_a_message(size: int) -> None:
    assert status_of(prefixed(b"abc")[:size]) is StatusCode.INTERNAL


def test_a_message_and_more() -> None:
    assert status_of(prefixed(b"abc") + b"x") is StatusCode.INTERNAL
    assert status_of(prefixed(b"abc") * 2) is StatusCode.INTERNAL


def test_a_message_that_is_too_large_is_refused_by_its_prefix() -> None:
    assert len(read(prefixed(bytes(MOST)))) == MOST
    assert status_of(prefixed(bytes(MOST + 1))[:5]) is StatusCode.RESOURCE_EXHAUSTED


def test_content_that_is_empty_is_kept_nowhere() -> None:
    reader = MessageReader(MOST)
    for _ in range(1000):
        reader.feed(memoryview(b""))
    reader.feed(memoryview(prefixed(b"abc")))
    assert reader.finish() == b"abc"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compression(encoding: str) -> None:
    press = gzip.compress if encoding == "gzip" else zlib.compress
    message = b"abc" * 1000
    pressed = press(message)
    assert read(prefixed(pressed, 1), encoding) == message
    assert read(prefixed(message, 0), encoding) == message
    assert read(prefixed(press(b""), 1), encoding) == b""
    assert status_of(prefixed(pressed, 1), encoding, 2999) is StatusCode.RESOURCE_EXHAUSTED
    assert read(prefixed(pressed, 1), encoding, 3000) == message
    for damaged in (pressed[:-1], pressed[:20], pressed + b"x", b"", b"no such thing"):
        assert status_of(prefixed(damaged, 1), encoding) is StatusCode.INTERNAL


def test_a_bomb_is_not_unpacked() -> None:
    pressed = gzip.compress(bytes(50_000_000))
    assert status_of(prefixed(pressed, 1), "gzip") is StatusCode.RESOURCE_EXHAUSTED


def test_compressions_that_are_not_known() -> None:
    assert status_of(prefixed(b"abc", 1), "br") is StatusCode.UNIMPLEMENTED
    assert status_of(prefixed(b"abc", 1)) is StatusCode.INTERNAL
    assert status_of(prefixed(gzip.compress(b"abc"), 2), "gzip") is StatusCode.INTERNAL


@given(st.floats(0, 10**11))
def test_timeouts(seconds: float) -> None:
    text = write_timeout(seconds)
    assert len(text) <= 9
    found = read_timeout(text)
    assert found is not None
    assert found == pytest.approx(min(max(seconds, 0.001), 10**8 - 1), rel=1e-4, abs=0.001)


def test_timeouts_of_others() -> None:
    given = {"1H": 3600, "2M": 120, "3S": 3, "4m": 0.004, "5u": 5e-6, "6n": 6e-9, "0n": 0}
    for text, seconds in given.items():
        assert read_timeout(text) == pytest.approx(seconds)
    for text in ("", "1", "S", "-1S", "1.5S", "123456789S", "1s", " 1S", "1S\n", "²S"):
        assert read_timeout(text) is None


@given(st.text())
def test_details(text: str) -> None:
    encoded = write_details(text)
    assert encoded.isascii()
    assert all(0x20 <= ord(c) <= 0x7E for c in encoded)
    assert read_details(encoded) == text.encode(errors="replace").decode()


def test_details_as_others_write_them() -> None:
    assert write_details("50 % – ok\n") == "50 %25 %E2%80%93 ok%0A"
    assert write_details("plain ~text") == "plain ~text"
    assert write_details("\ud800") == "?"
    for damaged in ("%", "%4", "%zz", "%ff", "100%"):
        read_details(damaged)


def test_codes() -> None:
    assert len(CODES) == 17
    assert CODES["14"] is StatusCode.UNAVAILABLE
    assert "9" * 5000 not in CODES

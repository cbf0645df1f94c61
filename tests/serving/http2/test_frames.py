from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http2 import frames
from serving.http2.frames import ConnectionFault, ErrorCode, Frame, FrameReader

MOST = 100

byte, number = st.integers(0, 255), st.integers(0, 2**31 - 1)
payloads = st.lists(st.tuples(byte, byte, number, st.binary(max_size=MOST)), max_size=8)


def made(kind: int, payload: bytes, flags: int = 0, stream: int = 1) -> Frame:
    return Frame(kind, flags, stream, memoryview(payload))


def fault_of(frame: Frame, part: str = "content") -> ErrorCode:
    with pytest.raises(ConnectionFault) as caught:
        getattr(frame, part)()
    return caught.value.code


@given(payloads, st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_what_is_written_is_read_however_it_is_cut(
    given: list[tuple[int, int, int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(frames.frame(*each) for each in given)
    reader = FrameReader(MOST)
    found = []
    at, turn = 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        for frame in reader.feed(data[at : at + size]):
            found.append((frame.kind, frame.flags, frame.stream, bytes(frame.payload)))
        at, turn = at + size, turn + 1
    assert found == given


def test_the_reserved_bit_is_no_part_of_the_number() -> None:
    (frame,) = FrameReader(MOST).feed(frames.frame(frames.DATA, 0, 0x80000003))
    assert frame.stream == 3


def test_a_frame_that_is_too_large_is_refused_by_its_head_alone() -> None:
    head = frames.head(frames.DATA, 0, 1, MOST + 1)
    with pytest.raises(ConnectionFault) as caught:
        list(FrameReader(MOST).feed(head))
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR
    assert not list(FrameReader(MOST).feed(frames.head(frames.DATA, 0, 1, MOST)))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536, 2**24 - 1])
def test_sizes(size: int) -> None:
    assert frames.head(frames.DATA, 0, 1, size)[:3] == size.to_bytes(3, "big")


def test_padding_and_priority_are_no_content() -> None:
    assert made(frames.DATA, b"\x03abc\0\0\0", frames.PADDED).content() == b"abc"
    assert made(frames.DATA, b"\x03\0\0\0", frames.PADDED).content() == b""
    both = frames.PADDED | frames.WITH_PRIORITY
    assert made(frames.HEADERS, b"\x01\0\0\0\0\x10abc\0", both).content() == b"abc"
    assert made(frames.HEADERS, b"\0\0\0\0\x10abc", frames.WITH_PRIORITY).content() == b"abc"
    # DATA knows no priority: the flag is to be ignored.
    assert made(frames.DATA, b"abc", frames.WITH_PRIORITY).content() == b"abc"


def test_more_padding_than_there_is() -> None:
    assert fault_of(made(frames.DATA, b"\x04abc", frames.PADDED)) is ErrorCode.PROTOCOL_ERROR
    assert fault_of(made(frames.DATA, b"", frames.PADDED)) is ErrorCode.FRAME_SIZE_ERROR
    short = made(frames.HEADERS, b"\0\0\0\0", frames.WITH_PRIORITY)
    assert fault_of(short) is ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("kind", "size", "stream"),
    [
        (frames.PRIORITY, 5, 1),
        (frames.RST_STREAM, 4, 1),
        (frames.SETTINGS, 6, 0),
        (frames.PING, 8, 0),
        (frames.GOAWAY, 8, 0),
        (frames.GOAWAY, 80, 0),
        (frames.WINDOW_UPDATE, 4, 0),
        (frames.WINDOW_UPDATE, 4, 1),
        (0xFA, 3, 0),
        (0xFA, 3, 1),
    ],
)
def test_the_forms_of_frames(kind: int, size: int, stream: int) -> None:
    made(kind, bytes(size), stream=stream).check()
    if kind in (frames.PRIORITY, frames.RST_STREAM, frames.PING, frames.WINDOW_UPDATE):
        for wrong in (size - 1, size + 1):
            frame = made(kind, bytes(wrong), stream=stream)
            assert fault_of(frame, "check") is ErrorCode.FRAME_SIZE_ERROR
    if kind not in (frames.WINDOW_UPDATE, 0xFA):
        frame = made(kind, bytes(size), stream=1 - stream)
        assert fault_of(frame, "check") is ErrorCode.PROTOCOL_ERROR


def test_a_short_goaway() -> None:
    frame = made(frames.GOAWAY, bytes(7), stream=0)
    assert fault_of(frame, "check") is ErrorCode.FRAME_SIZE_ERROR


def test_settings() -> None:
    values = {frames.INITIAL_WINDOW_SIZE: 2**31 - 1, 0xABCD: 7}
    (frame,) = FrameReader(MOST).feed(frames.settings(values))
    assert dict(frames.read_settings(frame.payload)) == values
    with pytest.raises(ConnectionFault) as caught:
        frames.read_settings(frame.payload[:-1])
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR


def test_the_text_of_a_goaway_is_cut() -> None:
    (frame,) = FrameReader(1000).feed(frames.goaway(5, ErrorCode.NO_ERROR, "x" * 999))
    assert frames.read_word(frame.payload) == 5
    assert frames.read_word(frame.payload, 4) == ErrorCode.NO_ERROR
    assert len(frame.payload) == 8 + 256
    with pytest.raises(ConnectionFault):
        frames.read_word(frame.payload[:7], 4)

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from serving.http2.fields import (
    MOST_BYTES,
    MOST_READ_BYTES,
    NO_TABLE,
    FieldReader,
    Fields,
    TooManyFields,
    read_literals,
    write_fields,
    write_same_fields,
)
from serving.http2.frames import ConnectionFault, ErrorCode

CALL: Fields = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/inference.GRPCInferenceService/ModelInfer"),
    ("te", "trailers"),
    ("x-request-id", "abc"),
)

texts = st.text(st.characters(max_codepoint=255), max_size=300)
names = st.one_of(st.sampled_from([":path", "te", "content-type", "x-request-id"]), texts)
lists = st.lists(st.tuples(names, texts), max_size=12)


def encoded(encoder: Encoder, fields: Fields, huffman: bool = True) -> bytes:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return bytes(encoder.encode(raw, huffman=huffman))


def decoded(block: bytes) -> Fields:
    raw = Decoder(10**9).decode(block, raw=True)
    return tuple((bytes(k).decode("latin-1"), bytes(v).decode("latin-1")) for k, v in raw)


@given(lists)
def test_hpack_reads_what_is_written(fields: list[tuple[str, str]]) -> None:
    block = write_fields(fields)
    assert decoded(block) == tuple(fields)
    assert decoded(NO_TABLE + block) == tuple(fields)
    assert FieldReader().read(block) == tuple(fields)
    assert read_literals(block) in (None, tuple(fields))


@given(st.lists(st.tuples(lists, st.booleans(), st.none() | st.integers(0, 4096)), max_size=12))
def test_what_hpack_writes_is_read(
    blocks: list[tuple[list[tuple[str, str]], bool, int | None]],
) -> None:
    """Blocks that build on one another, come twice, and change the size of the table."""
    encoder, reader = Encoder(), FieldReader()
    for fields, huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        for _ in range(2):
            assert reader.read(encoded(encoder, tuple(fields), huffman)) == tuple(fields)


@given(st.binary(max_size=200))
def test_any_other_block_is_a_fault_of_the_connection(block: bytes) -> None:
    reader = FieldReader()
    try:
        found = reader.read(block)
    except ConnectionFault as fault:
        assert fault.code is ErrorCode.COMPRESSION_ERROR
    else:
        assert found == decoded(block)


def test_long_texts() -> None:
    for size in (126, 127, 128, 254, 255, 256, 16_000):
        fields = (("x" * size, "y" * size),)
        assert decoded(write_fields(fields)) == fields


@pytest.mark.parametrize("size", [126, 127, 128, 254, 255, 256, 295, 900])
def test_long_texts_need_no_state_either(size: int) -> None:
    fields = (("x-request-id", "y" * size), ("te", "trailers"))
    block = write_fields(fields)
    assert read_literals(block) == fields
    for cut in range(1, len(block)):
        assert read_literals(block[:cut]) in (None, fields[:1])


def test_a_length_without_an_end() -> None:
    assert read_literals(b"\x00\x01a\x7f" + b"\xff" * 2000) is None


def test_only_latin_1_is_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        write_fields([("x", "€")])


def test_blocks_of_literals_need_no_state() -> None:
    assert read_literals(write_fields(CALL)) == CALL
    assert write_same_fields(CALL) is write_same_fields(CALL)
    for cut in range(1, len(write_fields(CALL))):
        assert read_literals(write_fields(CALL)[:cut]) in (None, *(CALL[:n] for n in range(5)))


def test_a_block_that_is_kept_does_not_outlive_the_table() -> None:
    """One that empties the table means the same as before only where there is none."""
    reader, encoder = FieldReader(), Encoder()
    empties = NO_TABLE + b"\x3f\xe1\x1f" + write_fields(CALL)  # size 0, then 4096 again
    adds = encoded(encoder, (("x-a", "1"),))
    uses = encoded(encoder, (("x-a", "1"),))
    assert reader.read(empties) == CALL
    assert reader.read(empties) == CALL
    assert reader.read(adds) == reader.read(uses) == (("x-a", "1"),)
    assert reader.read(empties) == CALL
    with pytest.raises(ConnectionFault):
        reader.read(uses)


def test_more_fields_than_are_taken_leave_the_state_as_it_should_be() -> None:
    encoder, reader = Encoder(), FieldReader()
    large = tuple((f"x-{n}", "y" * 1000) for n in range(40))
    with pytest.raises(TooManyFields):
        reader.read(encoded(encoder, large))
    assert reader.read(encoded(encoder, large[-2:])) == large[-2:]


def test_many_small_fields_count_for_more_than_their_text() -> None:
    small = (("", ""),) * (MOST_BYTES // 32)
    assert FieldReader().read(write_fields(small)) == small
    with pytest.raises(TooManyFields):
        FieldReader().read(write_fields((*small, ("", ""))))


def test_a_bomb() -> None:
    """A short block that names one large entry of the table again and again."""
    encoder, reader = Encoder(), FieldReader()
    reader.read(encoded(encoder, (("x-bomb", "y" * 3900),), huffman=False))
    index = encoded(encoder, (("x-bomb", "y" * 3900),))
    assert len(index) == 1
    reader.read(index * 8)
    with pytest.raises(ConnectionFault) as caught:
        reader.read(index * (MOST_READ_BYTES // 3900 + 1))
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR

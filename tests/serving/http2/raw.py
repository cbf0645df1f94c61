"""The other end of a connection, frame by frame as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from hpack import Decoder, Encoder

from serving.http2 import frames
from serving.http2.frames import PREFACE, FrameReader

Seen = tuple[int, int, int, bytes]
Pairs = Sequence[tuple[str, str]]

SECONDS = 5.0


class Raw:
    """Frames over a pair of streams; the fields are hpack's, with its table."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader(frames.LARGEST_FRAME)
        self._waiting: list[Seen] = []
        self._encoder, self._decoder = Encoder(), Decoder()

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()
        await asyncio.sleep(0)  # to drain is not to wait

    def block(self, fields: Pairs) -> bytes:
        return bytes(self._encoder.encode(list(fields)))

    def fields(self, block: bytes) -> dict[str, str]:
        return {str(k): str(v) for k, v in self._decoder.decode(block)}

    def headers(self, stream: int, fields: Pairs, ends: bool = False) -> bytes:
        flags = frames.END_HEADERS | (frames.END_STREAM if ends else 0)
        return frames.frame(frames.HEADERS, flags, stream, self.block(fields))

    async def frame(self) -> Seen | None:
        """The next frame; None at the end."""
        while not self._waiting:
            try:
                data = await asyncio.wait_for(self.reader.read(1 << 18), SECONDS)
            except ConnectionError:
                return None
            if not data:
                return None
            for f in self._frames.feed(data):
                self._waiting.append((f.kind, f.flags, f.stream, bytes(f.payload)))
        return self._waiting.pop(0)

    async def next(self, kind: int, stream: int | None = None) -> Seen:
        """The next frame of a kind; others are passed over."""
        while (found := await self.frame()) is not None:
            if found[0] == kind and stream in (None, found[2]):
                return found
        raise ConnectionError("the other end hung up")

    async def ended(self) -> list[Seen]:
        """All frames until the other end hangs up; then this one does."""
        found = []
        while (frame := await self.frame()) is not None:
            found.append(frame)
        await self.close()
        return found

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def dial(port: int, settings: dict[int, int] | None = None) -> Raw:
    """A client's end of a new connection, its preface sent."""
    raw = Raw(*await asyncio.open_connection("127.0.0.1", port))
    await raw.send(PREFACE, frames.settings(settings or {}))
    return raw

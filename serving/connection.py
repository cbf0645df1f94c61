"""A connection's heads, bounded in bytes and time.

uvicorn's parser in C knows no limit for a head, waits for one for ever, and loses the body of a
request that offers ``Upgrade: h2c``, as Java's client does by default: what is left of the body is
then run as a second request. Its parser in Python, h11, does what RFC 9110 says, which is to ignore
the offer, but is slower. So the first head chooses: with an offer h11, which bounds what it is
given itself, else the one in C, whose later heads ``LaterHeads`` bounds. An offer that comes later,
to the parser in C, is refused by the edge, which closes the connection (``LateOfferError``).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from serving.errors import IGNORES_OFFERS, HeadTooLargeError
from serving.rendering import error_reply

MAX_HEAD_BYTES = 64 << 10
HEAD_SECONDS = 30.0
"""From a head's beginning, the first one's being the connection's, to its end."""

_OFFER = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_END = b"\r\n\r\n"


class FirstHead(asyncio.Protocol):
    """What ``uvicorn.Config(http=…)`` is given; see the module's docstring."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "config": config,
            "server_state": server_state,
            "app_state": app_state,
        }
        self._loop = _loop or asyncio.get_event_loop()
        self._connections: set[Any] = server_state.connections
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By its interface: uvloop's transports derive from nothing of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._timer = self._loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def shutdown(self) -> None:
        """Uvicorn's word to a connection that it is to end."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        end = self._received.find(_END)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._received) > MAX_HEAD_BYTES):
            _refuse(self._transport)
            return
        # Without an end, only the parser can tell what is no HTTP at all.
        if end < 0 and self._received[:1].isalpha():
            return
        offers = _OFFER.search(self._received, 0, max(end, 0) + len(_END)) is not None
        kind = H11Protocol if offers else LaterHeads
        self._leave()
        state = {**self._arguments["app_state"], IGNORES_OFFERS: offers}
        arguments = {**self._arguments, "app_state": state}
        protocol: Any = kind(**arguments, _loop=self._loop)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(bytes(self._received))
        self._received.clear()

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class LaterHeads(HttpToolsProtocol):
    """uvicorn's parser in C, with bounds for the heads that do not come whole.

    One that does has the size of what the socket gave at once, and took no time.
    """

    _in_head = False
    _begun = False
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._begun = False
        super().data_received(data)
        if not self._in_head:
            return
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        if not self._begun:  # else most of these bytes may be another request's body
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._leave_head()
            _refuse(self.transport)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = self._begun = True

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._leave_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_head()
        super().connection_lost(exc)

    def _leave_head(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _refuse(transport: asyncio.Transport) -> None:
    transport.write(_refusal())
    transport.close()


def _refusal() -> bytes:
    error = HeadTooLargeError(f"the request's head has more than {MAX_HEAD_BYTES} bytes")
    body = error_reply(error).body
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **error.headers(),
    }
    lines = [f"HTTP/1.1 {error.status} Request Header Fields Too Large"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END + body

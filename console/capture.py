"""Where the edge sends copies of requests that customers let us keep.

Envoy mirrors what the check has marked, and waits for no answer. This listener is apart from the
page's, and nobody but Envoy reaches it: its headers say whose a request is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from accounts.captures import KEPT_HEADERS, Captures, Copy
from accounts.errors import AccountsError
from common.routes import find_route
from console.limits import MAX_HEAD_BYTES, BodyLimit

MAX_BODY_BYTES = 8 << 20
MAX_CONNECTIONS = 16
"""At a time: what comes beyond is not kept, and memory stays bounded."""

logger = logging.getLogger("console.capture")


def capture_app(captures: Captures) -> Starlette:
    """Takes every prediction request that comes; answers 204 whether it is kept or not."""

    async def take(request: Request) -> Response:
        found = find_route(request.url.path)
        account = request.headers.get("x-account-id", "")
        request_id = request.headers.get("x-request-id", "")
        if found is None or not account or not request_id:
            return Response(status_code=400)
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        copy = Copy(request.url.path, request.url.query, headers, await request.body())
        try:
            await run_in_threadpool(captures.keep, account, request_id, found.model, copy)
        except AccountsError as error:
            logger.warning("a request was not kept: %s", error)
            return Response(status_code=error.status)
        return Response(status_code=204)

    routes = [Route("/{path:path}", take, methods=["POST"])]
    limit = Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    return Starlette(routes=routes, middleware=[limit])


@contextmanager
def listening(captures: Captures, host: str, port: int) -> Iterator[None]:
    """The listener, in a thread of its own."""
    server = uvicorn.Server(
        uvicorn.Config(
            capture_app(captures),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http="h11",
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            limit_concurrency=MAX_CONNECTIONS,
        )
    )
    thread = threading.Thread(target=server.run, name="capture", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)

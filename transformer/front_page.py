"""What a browser is shown at ``/``: which models there are, and how to ask one.

Programs ask the same URL whether the server is alive, which stays KServe's to answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Vision models</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto }}
  pre {{ padding: .75rem; overflow-x: auto; border: 1px solid; border-radius: .5rem }}
</style>
<h1>Vision models</h1>
<p>Send a picture to a model's URL, and it answers with predictions as JSON:</p>
{models}
<p><a href="/docs">All URLs</a> (OpenAPI) · <a href="/metrics">metrics</a> ·
<a href="/v2/health/ready">ready?</a></p>
</html>
"""
MODEL = """<h2>{name}</h2>
<pre>curl -F file=@picture.png {url}/v1/models/{name}:predict</pre>
<p>Its inputs and outputs: <a href="/v2/models/{name}">/v2/models/{name}</a></p>
"""


class FrontPage:
    """ASGI middleware: the page for ``GET /`` of whoever prefers HTML."""

    def __init__(self, app: ASGIApp, models: Sequence[str]) -> None:
        self._app = app
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            headers = Headers(scope=scope)
            if headers.get("accept", "").startswith("text/html"):
                # What ends TLS in front says so; without its word it is this connection's.
                scheme = headers.get("x-forwarded-proto", "")
                scheme = scheme if scheme in ("http", "https") else scope["scheme"]
                page = render(self._models, f"{scheme}://{headers.get('host', '')}")
                await HTMLResponse(page, headers={"vary": "accept"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


def render(models: Sequence[str], url: str) -> str:
    """The page for a server that is reached by ``url``."""
    parts = [MODEL.format(name=escape(name), url=escape(url)) for name in models]
    return PAGE.format(models="".join(parts))

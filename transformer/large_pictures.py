"""A lane of its own for large pictures, so that small ones never wait for them.

Decoding a picture of many megapixels takes as long as thousands of small requests. On the threads
that all requests share, a few customers' photographs would hold up everybody; here they are decoded
one after the other, and beyond so many pixels that wait they are refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from serving.errors import OverloadedError

T = TypeVar("T")

LARGE_PIXELS = 1 << 20
"""Of a request; from here on decoding takes longer than a small request does altogether."""


class LargePictures:
    """One thread, and a bound on what waits for it.

    Args:
        max_pixels: of all requests that wait for the thread or have it.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._pixels = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode-large")

    async def run(self, pixels: int, work: Callable[[], T]) -> T:
        """``work()``, which decodes so many pixels, when it is its turn.

        A request that is alone is never refused: its own limits are others'.

        Raises:
            OverloadedError: too many pixels wait already.
        """
        if self._pixels and self._pixels + pixels > self._max_pixels:
            raise OverloadedError(
                f"large pictures of {self._pixels} pixels are being decoded; try again, or send "
                "a smaller one",
                reason="large_pictures",
            )
        self._pixels += pixels
        loop = asyncio.get_running_loop()
        future: Future[T] = self._thread.submit(work)

        def finished(_: Future[T]) -> None:
            # Called by the thread. What is cancelled while it waits ends here as well; what has
            # begun keeps its pixels until the decoder has let go of them, whoever still waits.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._release, pixels)

        future.add_done_callback(finished)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _release(self, pixels: int) -> None:
        self._pixels -= pixels

"""Bodies that come as gzip: unfolded within the limit, whatever they say."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from serving.content_coding import STEP_BYTES, unfold
from serving.edge import Edge
from serving.errors import MalformedRequestError, TooLargeError
from serving.settings import ServerSettings
from tests.memory import peak_growth
from tests.serving.fake import SumModel, client_of, repository
from tests.serving.test_edge import inner

URL = "/v1/models/sum:predict"
LIMIT = 4096
BODY = json.dumps({"instances": [1, 2, 3.5]}).encode()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    edge = Edge(inner, repository(SumModel()), ServerSettings(max_body_bytes=LIMIT))  # type: ignore[call-arg]
    async with client_of(edge) as opened:
        yield opened


async def test_a_body_of_several_steps_and_members_is_whole() -> None:
    content = bytes(range(256)) * (3 * STEP_BYTES // 256)
    reserved: list[int] = []
    coded = gzip.compress(content) + gzip.compress(b"end") + bytes(9)
    assert await unfold(coded, 1 << 24, reserved.append) == content + b"end"
    assert sum(reserved) == len(content) + 3
    assert max(reserved) <= STEP_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        gzip.compress(BODY)[:-1],
        gzip.compress(BODY)[:-9],
        gzip.compress(BODY)[:-8] + bytes(8),
        gzip.compress(BODY) + b"more",
        zlib.compress(BODY),
    ],
)
async def test_damage_is_named(body: bytes) -> None:
    with pytest.raises(MalformedRequestError, match="gzip"):
        await unfold(body, 1 << 20, lambda _: None)


async def test_a_bomb_is_refused_before_it_has_unfolded() -> None:
    bomb = gzip.compress(bytes(200 << 20))
    with pytest.raises(TooLargeError, match="unfolds to more than the limit"):
        await unfold(bomb, 1 << 20, lambda _: None)


@pytest.mark.slow
def test_a_bomb_takes_little_memory() -> None:
    grown = peak_growth(
        "import asyncio, gzip\n"
        "from serving.content_coding import unfold\n"
        "bomb = gzip.compress(gzip.compress(bytes(300 << 20)))\n",
        "try:\n"
        "    asyncio.run(unfold(gzip.decompress(bomb), 8 << 20, lambda _: None))\n"
        "except Exception as error:\n"
        "    assert type(error).__name__ == 'TooLargeError', error\n",
    )
    assert grown < 40


async def test_requests_may_be_gzip(client: httpx.AsyncClient) -> None:
    for coding in ("gzip", "x-gzip", "GZIP"):
        headers = {"content-encoding": coding}
        response = await client.post(URL, content=gzip.compress(BODY), headers=headers)
        assert response.json() == {"predictions": [6.5]}
    response = await client.post(URL, content=BODY, headers={"content-encoding": "identity"})
    assert response.status_code == 200


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "x" * 500])
async def test_another_coding_is_415(client: httpx.AsyncClient, coding: str) -> None:
    response = await client.post(URL, content=BODY, headers={"content-encoding": coding})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_coding")
    assert response.headers["accept-encoding"] == "gzip"


async def test_the_limit_is_of_what_it_becomes(client: httpx.AsyncClient) -> None:
    body = b" " * LIMIT + BODY
    response = await client.post(
        URL, content=gzip.compress(body), headers={"content-encoding": "gzip"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_what_was_reserved_is_given_back() -> None:
    settings = ServerSettings(max_body_bytes=LIMIT)  # type: ignore[call-arg]
    admission = settings.admission()
    edge = Edge(inner, repository(SumModel()), settings, admission)
    async with client_of(edge) as client:
        for body in (gzip.compress(BODY), gzip.compress(BODY)[:-4]):
            await client.post(URL, content=body, headers={"content-encoding": "gzip"})
    admission.check(settings.queue_bytes)

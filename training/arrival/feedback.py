"""``vision feedback``: predictions that customers say were wrong, as a labelled part for the inbox.

Only pictures that their customers let us keep, with the label that the customer gave. The accounts
hand the requests out, unsealed, to a key of somebody with the right ``pictures``, and note that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from common.predicted import is_set
from common.routes import find_route
from registry.errors import RegistryError
from registry.opening import S3, open_store
from serving.content_coding import is_coded, unfold
from serving.errors import ServingError
from serving.model import HttpRequest
from transformer.classification.options import ClassificationOptions
from transformer.pictures.payload import PayloadReader
from transformer.settings import TransformerSettings

PATH = "/v1/feedback"
TIMEOUT_SECONDS = 30.0
DAY_MS = 86_400_000
LIMIT = TransformerSettings.model_fields["max_body_bytes"].default
"""Of a body, after it is unfolded."""


class FeedbackError(RuntimeError):
    """The accounts do not answer, or refuse; the message says which."""


class Labelled(NamedTuple):
    """A picture as it was sent, and what it is."""

    picture: bytes
    label: str
    place: str


class Accounts:
    """What a key is told.

    Args:
        url: of the edge, or of the console.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def disagreements(self, model: str, start_ms: int, end_ms: int) -> Iterator[dict[str, Any]]:
        """Said in [start, end); raises FeedbackError."""
        after = ""
        while True:
            asked = {"model": model, "from": start_ms, "to": end_ms, "after": after}
            page = json.loads(self._get("/disagreements", asked)[0])
            yield from page
            if not page:
                return
            after = page[-1]["place"]

    def request(self, account_id: str, request_id: str) -> tuple[str, HttpRequest]:
        """The path of a request and what it was; raises FeedbackError."""
        asked = {"account": account_id, "request_id": request_id}
        body, headers = self._get("/captures", asked)
        about = json.loads(headers["x-captured"])
        return about["path"], HttpRequest(body, about["headers"], about["query"])

    def _get(self, path: str, asked: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
        url = f"{self._url}{PATH}{path}?{urlencode(asked)}"
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {self._key}"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            said = error.read(1000).decode(errors="replace").strip()
            raise FeedbackError(f"{self._url} answers {error.code}: {said}") from None
        except OSError as error:
            raise FeedbackError(f"{self._url} does not answer: {error}") from None


def pictures(accounts: Accounts, model: str, start_ms: int, end_ms: int) -> Iterator[Labelled]:
    """What customers say was wrong, with what it is; requests that cannot be read are left out.

    Raises:
        FeedbackError: the accounts do not answer.
    """
    settings = TransformerSettings.model_fields
    reader = PayloadReader(
        settings["max_instances"].default, settings["max_json_bytes"].default, ClassificationOptions
    )
    for found in accounts.disagreements(model, start_ms, end_ms):
        place = f"{found['request_id']}, instance {found['instance']}"
        if is_set(found["label"]):
            print(f"{place} is left out: a part has pictures of one label each", file=sys.stderr)
            continue
        path, request = accounts.request(found["account_id"], found["request_id"])
        try:
            picture = bytes(_images(reader, path, request)[found["instance"]])
        except (ServingError, IndexError) as error:
            print(f"{place} is left out: {error}", file=sys.stderr)
            continue
        yield Labelled(picture, found["label"], place)


def _images(reader: PayloadReader, path: str, request: HttpRequest) -> Any:
    if is_coded(request.headers):
        body = asyncio.run(unfold(request.body, LIMIT, lambda _: None))
        request = request._replace(body=body)
    route = find_route(path)
    v2 = route is not None and route.protocol == "v2"
    return (reader.read_v2(request) if v2 else reader.read_v1(request)).images


def write_part(inbox: str, model: str, name: str, labelled: list[Labelled]) -> str:
    """Write ``<inbox>/<model>/<name>.parquet``, whole or not at all; returns where.

    Raises:
        RegistryError, OSError: the inbox cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(
        {"image": [one.picture for one in labelled], "label": [one.label for one in labelled]}
    )
    key = f"{model}/{name}.parquet"
    if S3.fullmatch(inbox):
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(table, sink)
        open_store(inbox).create(key, sink.getvalue().to_pybytes())
        return f"{inbox.rstrip('/')}/{key}"
    path = Path(inbox.removeprefix("file://")) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    # The watch takes nothing of that ending.
    unfinished = path.with_suffix(".parquet.part")
    parquet.write_table(table, unfinished)
    unfinished.rename(path)
    return str(path)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    end_ms = int(time.time() * 1000)
    start_ms = end_ms - int(options.days * DAY_MS)
    try:
        key = options.key.read_text(encoding="utf-8").strip()
        found = list(pictures(Accounts(options.url, key), options.model, start_ms, end_ms))
        if not found:
            print(
                f"nobody said in {options.days:g} days of a picture that is kept that it was wrong"
            )
            return 0
        name = options.name or time.strftime("feedback-%Y%m%d-%H%M%S", time.gmtime(end_ms / 1000))
        where = write_part(options.inbox, options.model, name, found)
    except (FeedbackError, RegistryError, OSError) as error:
        print(f"feedback: {error}", file=sys.stderr)
        return 1
    print(f"{len(found)} pictures in {where}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision feedback", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    about = "write what customers say was wrong to the inbox"
    part = commands.add_parser("part", help=about, description=about)
    part.add_argument("model")
    part.add_argument("--url", default="http://localhost:8080", help="of the service")
    part.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="with feedback:read, of a trainer"
    )
    part.add_argument("--days", type=float, default=7.0, help="said in the last days (7)")
    part.add_argument("--inbox", default="inbox", help="folder or s3://… (inbox)")
    part.add_argument("--name", default="", help="of the part (feedback-DATE-TIME)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

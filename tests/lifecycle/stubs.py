"""Steps that take no time, and a store that ends its process."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from artifact import CARD_FILE
from lifecycle.errors import StoppedError
from lifecycle.found import Found
from lifecycle.inbox import Inbox
from lifecycle.machine import Machine, Work
from lifecycle.notices import Notice
from lifecycle.place import Place
from lifecycle.promotion import promote
from lifecycle.publication import publish
from lifecycle.run import Arrival, Run, run_id
from lifecycle.settings import LifecycleSettings
from lifecycle.step import Step
from registry.entry import Action, Event
from registry.errors import ConflictError, ExistsError, NotFoundError
from registry.folder import FolderStore
from registry.history import History
from registry.objects import ObjectStore, Stored
from registry.revisions import Registry
from tests.conftest import write_small


class KilledError(BaseException):
    """The process ends here: nothing catches it."""


class Memory(ObjectStore):
    """A store without a disk."""

    url = "memory://"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def create(self, key: str, data: bytes) -> None:
        if key in self._objects:
            raise ExistsError(key)
        self._objects[key] = data

    def replace(self, key: str, data: bytes, etag: str) -> None:
        if self.read(key).etag != etag:
            raise ConflictError(key)
        self._objects[key] = data

    def read(self, key: str) -> Stored:
        if key not in self._objects:
            raise NotFoundError(key)
        return Stored(self._objects[key], str(hash(self._objects[key])))

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self._objects if key.startswith(prefix)))

    def marks(self, prefix: str) -> Iterator[tuple[str, str]]:
        return ((key, self.read(key).etag) for key in self.keys(prefix))

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def set_up(self) -> list[str]:
        return []


class Dying(ObjectStore):
    """Another store, whose ``at``-th write is the last thing that happens, or does not any more."""

    def __init__(self, store: ObjectStore, at: int, is_done: bool) -> None:
        self._store, self._at, self._is_done = store, at, is_done
        self.url, self.writes = store.url, 0

    def _write(self, write: Any, *arguments: Any) -> None:
        self.writes += 1
        if self.writes == self._at and not self._is_done:
            raise KilledError
        write(*arguments)
        if self.writes == self._at:
            raise KilledError

    def create(self, key: str, data: bytes) -> None:
        self._write(self._store.create, key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        self._write(self._store.replace, key, data, etag)

    def read(self, key: str) -> Stored:
        return self._store.read(key)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._store.keys(prefix)

    def marks(self, prefix: str) -> Iterator[tuple[str, str]]:
        return self._store.marks(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    def set_up(self) -> list[str]:
        return self._store.set_up()


class Mailbox:
    """Takes notices, or refuses them."""

    def __init__(self, is_open: bool = True) -> None:
        self.is_open = is_open
        self.notices: list[Notice] = []

    def send(self, notice: Notice) -> bool:
        if self.is_open:
            self.notices.append(notice)
        return self.is_open


def place_of(folder: Path, store: ObjectStore | None = None, **settings: Any) -> Place:
    store = store or FolderStore(folder / "store")
    registry = Registry(store, History(store), "ada@example.com")
    inbox = Inbox(str(folder / "inbox"))
    (folder / "work").mkdir(exist_ok=True)
    return Place(
        registry,
        LifecycleSettings(**settings),
        inbox,
        folder / "models",
        folder / "work",
        lambda text: None,
    )


def arrive(place: Place, part: str = "mnist/boots.npz", digest: str = "sha256:" + "a" * 64) -> str:
    id = run_id("mnist", digest)
    moment = "2026-11-30T00:00:00Z"
    place.runs.start(Arrival(id, "mnist", part, digest, moment, "ada@example.com"))
    return id


def check(place: Place, run: Run) -> Found:
    event = Event(Action.DATA_ADDED, "ada", why=run.id, details={"data": "nobody reads"})
    place.registry.record(event, f"data {run.id}")
    return Found("12 pictures", {"part": run.arrival.digest})


def train(place: Place, run: Run) -> Found:
    """A revision of random weights; its card tells the try, so that each is another one."""
    tries = len(list(place.folder(run.id).iterdir()))
    revision = write_small(place.folder(run.id) / f"trained-{tries}", run.model, "2", 2)
    card = json.loads((revision.folder / CARD_FILE).read_text())
    card["training"] = {"tries": tries}
    (revision.folder / CARD_FILE).write_text(json.dumps(card))
    files = {p.name: place.runs.keep_file(p.read_bytes()) for p in revision.folder.iterdir()}
    return Found("trained", {"files": files})


def evaluate(place: Place, run: Run) -> Found:
    return Found("10 of 10 right, the live one 5", {})


def worse(place: Place, run: Run) -> Found:
    raise StoppedError("worse than mnist/1: 3 of 10 right, stable 5", {"p": 0.001})


WORKS: Mapping[Step, Work] = {
    Step.CHECKED: check,
    Step.TRAINED: train,
    Step.EVALUATED: evaluate,
    Step.PUBLISHED: publish,
    Step.ROLLED_OUT: promote,
}


def machine(
    place: Place,
    mailbox: Mailbox | None = None,
    only: Collection[Step] = tuple(WORKS),
    **works: Work,
) -> Machine:
    """With ``works``, by the step's name, in place of those that go well."""
    changed = {step: works.get(step.name.lower(), WORKS[step]) for step in only}
    return Machine(place, changed, mailbox or Mailbox())

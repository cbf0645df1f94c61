"""Revisions in a store: published once, pulled and verified by the digests in the history."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from artifact import CARD_FILE, ModelCard, Revision, sha256_of
from registry.entry import Action, Entry, Event
from registry.errors import DamagedError, ExistsError, NotFoundError, RefusedError
from registry.history import History
from registry.objects import ObjectStore
from registry.state import State

TRANSFERS = 8
MODELS = "models"


class Registry:
    """A store with its history.

    Args:
        by: who is named in the history for what is done.
    """

    def __init__(self, store: ObjectStore, history: History, by: str) -> None:
        self.store = store
        self.history = history
        self.by = by

    def state(self) -> State:
        return State.after(self.history.entries())

    def url_of(self, model: str, revision: str) -> str:
        """The folder of a revision, which KServe takes as ``storageUri``."""
        return f"{self.store.url}/{_folder(model, revision)}"

    def publish(self, revision: Revision, why: str = "") -> Entry:
        """Put a revision folder into the store; done again, it changes nothing.

        The card goes last: a revision that has one in the store is there whole.

        Raises:
            ExistsError: the store has another revision of that name, or had one.
            ArtifactError: a file is not the one that the card names.
        """
        card = revision.card
        files = {
            path.name: path.read_bytes()
            for path in sorted(revision.folder.iterdir())
            if path.is_file() and not path.name.startswith(".")
        }
        _check(card, files)
        digests = {name: sha256_of(data) for name, data in files.items()}
        key = (card.name, card.revision)
        if key not in self.state().published:
            card_bytes = files.pop(CARD_FILE)
            with ThreadPoolExecutor(TRANSFERS) as pool:
                list(pool.map(lambda item: self._put(card, *item), files.items()))
            self._put(card, CARD_FILE, card_bytes)
            details = {
                "digest": revision.digest,
                "files": digests,
                "contract": card.contract.digest,
                "parent": card.parent,
                "data": None if card.data is None else card.data.digest,
            }

            def check(entries: Sequence[Entry]) -> None:
                if key in State.after(entries).published:
                    raise ExistsError(f"{card.identity} is published")

            event = Event(Action.PUBLISHED, self.by, *key, why, details)
            with contextlib.suppress(ExistsError):
                return self.history.append(event, check)
        published = self.state().published[key]
        if published.details["files"] != digests:
            raise ExistsError(
                f"{card.identity} was published on {published.at} with other files; "
                "a revision is never changed, nor is its number given again"
            )
        return published

    def _put(self, card: ModelCard, name: str, data: bytes) -> None:
        key = f"{_folder(card.name, card.revision)}/{name}"
        try:
            self.store.create(key, data)
        except ExistsError:
            if self.store.read(key).data != data:
                raise ExistsError(
                    f"{card.identity}: the store has another {name}; "
                    "a revision is never changed: publish it under a new number"
                ) from None

    def pull(self, model: str, selector: str, root: Path) -> Path:
        """Fetch a revision into ``root/<model>/<revision>``, which appears whole or not at all.

        Args:
            selector: a revision or an alias.

        Raises:
            NotFoundError: it is not in the registry.
            DamagedError: the store's bytes are not those that were published.
            ExistsError: there is another folder of that name.
        """
        state = self.state()
        revision = state.resolve(model, selector)
        entry = state.entry_of(model, revision)
        target = root / model / revision
        if target.exists():
            _check_folder(target, entry)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{revision}-", dir=target.parent))
        try:
            for name, data in self._files(entry):
                (draft / name).write_bytes(data)
            draft.chmod(0o755)
            try:
                draft.rename(target)
            except OSError:  # somebody was faster
                _check_folder(target, entry)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return target

    def verify(self, model: str, revision: str) -> int:
        """Compare every byte of a revision with the history; returns the number of files.

        Raises:
            NotFoundError, DamagedError: as for ``pull``.
        """
        return len(list(self._files(self.state().entry_of(model, revision))))

    def size(self, model: str, revision: str) -> int:
        """Bytes of a revision's files, which are read and verified; raises as ``verify`` does."""
        return sum(len(data) for _, data in self._files(self.state().entry_of(model, revision)))

    def card(self, model: str, revision: str) -> ModelCard:
        """Raises as ``pull`` does."""
        entry = self.state().entry_of(model, revision)
        return ModelCard.from_json(self._file(entry, CARD_FILE))

    def alias(self, model: str, alias: str, revision: str, why: str = "") -> Entry:
        """Give a revision a name that may move, such as ``candidate``.

        Raises:
            NotFoundError: the revision is not in the registry.
            RefusedError: a revision has that name.
        """

        def check(entries: Sequence[Entry]) -> None:
            state = State.after(entries)
            state.entry_of(model, revision)
            if (model, alias) in state.published:
                raise RefusedError(f"{alias} is a revision of {model}, and cannot be an alias")

        event = Event(Action.ALIASED, self.by, model, revision, why, {"alias": alias})
        return self.history.append(event, check)

    def record(self, event: Event, origin: str) -> Entry | None:
        """Write down what a rollout did, once.

        Args:
            event: its details name the ``service``, and the time ``at`` where it was earlier.
            origin: what it is written down as elsewhere; another event of that origin and service
                about the same model is the same one.

        Returns:
            The entry; None where it was there already.
        """
        event = replace(event, details={**event.details, "origin": origin})

        def key(told: Event) -> tuple[object, object, str]:
            return told.details.get("service"), told.details.get("origin"), told.model

        def check(entries: Sequence[Entry]) -> None:
            if any(key(entry) == key(event) for entry in entries):
                raise ExistsError(f"{origin} is in the history")

        with contextlib.suppress(ExistsError):
            return self.history.append(event, check)
        return None

    def retire(self, model: str, revision: str, why: str = "") -> Entry:
        """Delete a revision that nobody needs; done again, it deletes what is left.

        Raises:
            NotFoundError: it is not in the registry.
            RefusedError: it is live, can be rolled back to, or has an alias.
        """

        def check(entries: Sequence[Entry]) -> None:
            state = State.after(entries)
            state.entry_of(model, revision)
            if uses := state.uses(model, revision):
                raise RefusedError(f"{model}/{revision} is kept: {'; '.join(uses)}")

        entry = self.state().retired.get((model, revision))
        if entry is None:
            entry = self.history.append(Event(Action.RETIRED, self.by, model, revision, why), check)
        keys = list(self.store.keys(f"{_folder(model, revision)}/"))
        # The card first: without it the rest is not a revision any more.
        for key in sorted(keys, key=lambda key: not key.endswith(f"/{CARD_FILE}")):
            self.store.delete(key)
        return entry

    def _files(self, entry: Entry) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of each file, verified."""
        names = list(entry.details["files"])
        with ThreadPoolExecutor(TRANSFERS) as pool:
            yield from zip(
                names, pool.map(lambda name: self._file(entry, name), names), strict=True
            )

    def _file(self, entry: Entry, name: str) -> bytes:
        expected = entry.details["files"][name]
        try:
            data = self.store.read(f"{_folder(entry.model, entry.revision)}/{name}").data
        except NotFoundError:
            raise DamagedError(f"{entry.identity}: {name} is missing in the store") from None
        if (found := sha256_of(data)) != expected:
            raise DamagedError(
                f"{entry.identity}: {name} has {found}, but was published as {expected}"
            )
        return data


def _folder(model: str, revision: str) -> str:
    return f"{MODELS}/{model}/{revision}"


def _check(card: ModelCard, files: dict[str, bytes]) -> None:
    """Raises DamagedError: a file that the card names is missing or another one."""
    for name, expected in card.files.items():
        found = sha256_of(files[name]) if name in files else "nothing"
        if found != expected:
            raise DamagedError(
                f"{card.identity}: {name} has {found}, but its card names {expected}"
            )


def _check_folder(folder: Path, entry: Entry) -> None:
    """Raises ExistsError: the folder is not the revision that was published."""
    for name, expected in entry.details["files"].items():
        path = folder / name
        if not path.is_file() or sha256_of(path.read_bytes()) != expected:
            raise ExistsError(f"{folder} is there, and its {name} is not that of {entry.identity}")

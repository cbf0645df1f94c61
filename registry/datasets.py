"""Data sets in the store: versioned by digest, appended in parts, in the one signed history.

```python
datasets = Datasets(registry)
version = datasets.add("clothes", samples)                   # a part; the same one again: no change
version = datasets.version("clothes")                        # the newest; or of a digest
version.digest, version.parts, version.classes, version.counts
samples = datasets.open(version, HELD_OUT, [version.parts[-1].digest])
samples.images, samples.labels                               # uint8 pictures, indices into classes
```

A version is a list of parts in order, with their digests and splits, and its digest is that of the
list. What arrives from outside comes by `training.arrival.arrive`, which reads files, checks, and
then adds or refuses here.

    data/<name>/parts/<digest>.npz       the pictures, in the order of their digests
    data/<name>/versions/<digest>.json   parts, classes and counts
    data/<name>/reports/<digest>/…       of what arrived, refused or not; the history names it

Objects are created, never changed; the history says which version came when, by whom, and why.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property

from registry.entry import Action, Entry, Event
from registry.errors import ConflictError, DamagedError, ExistsError, NotFoundError, RefusedError
from registry.revisions import Registry
from registry.samples import Samples, joined

DATA = "data"
TRAIN, HELD_OUT, ALL = "train", "heldout", "all"
SPLITS = (TRAIN, HELD_OUT)
HELD_OUT_SHARE = 0.1
"""Of a part that is for both; which pictures, their digests say."""
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
ATTEMPTS = 20
READERS = 4
LARGEST_PART_BYTES = 4 << 30
"""Of pixels; an object of S3 that is written at once has 5 GiB at most."""


@dataclass(frozen=True)
class Part:
    """What a version says of one of its parts.

    Attributes:
        digest: of its pictures and labels.
        arrived: of what came, before pictures were left out of it.
        split: ``train`` or ``heldout`` where all of it is for that; empty for both.
        share: of it that is held out.
        train, heldout: pictures by class.
    """

    digest: str
    arrived: str
    split: str
    share: float
    train: dict[str, int]
    heldout: dict[str, int]


@dataclass(frozen=True)
class Version:
    """A data set up to one of its parts.

    Attributes:
        parts: in the order they were added.
        classes: names, in the order of the labels' numbers.
    """

    name: str
    parts: tuple[Part, ...]
    classes: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """Over its parts' digests and splits, in order, and its classes."""
        return "sha256:" + hashlib.sha256(self.to_json()).hexdigest()

    @property
    def identity(self) -> str:
        """``name@digest``."""
        return f"{self.name}@{self.digest}"

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Pictures by split and class."""
        return {
            split: {
                name: sum(getattr(part, split).get(name, 0) for part in self.parts)
                for name in self.classes
            }
            for split in SPLITS
        }

    def to_json(self) -> bytes:
        document = {
            "name": self.name,
            "classes": self.classes,
            "parts": [asdict(part) for part in self.parts],
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Version:
        """Raises DamagedError: it is none; names where it was found."""
        try:
            document = json.loads(data)
            parts = tuple(Part(**part) for part in document["parts"])
            return cls(document["name"], parts, tuple(document["classes"]))
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"{where} is no version of a data set: {error}") from None


class Datasets:
    """Of one registry: its store, its history, and who is named there."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._store = registry.store
        self._history = registry.history
        self._by = registry.by

    def names(self) -> list[str]:
        return sorted({str(entry.details["data"]) for entry in self._told(Action.DATA_ADDED)})

    def entries(self, name: str) -> list[Entry]:
        """Of every part that was added or refused, in order."""
        actions = (Action.DATA_ADDED, Action.DATA_REFUSED)
        return [entry for entry in self._told(*actions) if entry.details["data"] == name]

    def version(self, name: str, digest: str | None = None) -> Version:
        """The newest version, or the one whose digest begins so (with or without ``sha256:``).

        Raises:
            NotFoundError: there is no such data set or version, or there are two.
            DamagedError: it is not the one that the history names.
        """
        found = list(dict.fromkeys(str(entry.details["version"]) for entry in self._added(name)))
        if not found:
            raise NotFoundError(
                f"there is no data set {name} (there are: {', '.join(self.names()) or 'none'})"
            )
        if digest is not None:
            begins = digest.removeprefix("sha256:")
            found = [one for one in found if one.removeprefix("sha256:").startswith(begins)]
            if len(found) != 1 or not begins:
                many = "more than one version begins" if found else "no version begins"
                raise NotFoundError(f"{name}: {many} with {digest}")
        return self._read(name, found[-1])

    def newest(self, name: str) -> Version | None:
        """The newest version; None where there is no such data set."""
        return self.version(name) if self._added(name) else None

    def add(
        self,
        name: str,
        samples: Samples,
        split: str = "",
        arrived: str = "",
        why: str = "",
        report: str = "",
    ) -> Version:
        """Append a part; the same one again changes nothing.

        Args:
            split: ``train`` or ``heldout`` for all of it; empty: ``HELD_OUT_SHARE`` is held out.
            arrived: digest of what it was made from; its own where it came as it is.
            report: as ``keep_report`` gave it.

        Returns:
            the version that ends with it, or has had it already.

        Raises:
            RefusedError: the name, the split or the number of pictures cannot be.
        """
        _check(name, samples, split)
        share = {TRAIN: 0.0, HELD_OUT: 1.0}.get(split, HELD_OUT_SHARE)
        chosen = samples.held_out(share)
        part = Part(
            digest=samples.digest,
            arrived=arrived or samples.digest,
            split=split,
            share=share,
            train=samples.subset(~chosen).counts(),
            heldout=samples.subset(chosen).counts(),
        )
        for _ in range(ATTEMPTS):
            before = self.newest(name)
            if before is not None and part.digest in [p.digest for p in before.parts]:
                return before
            after = _appended(name, before, part, samples.classes)
            with contextlib.suppress(ExistsError):
                self._store.create(_part_key(name, part.digest), samples.to_bytes())
            with contextlib.suppress(ExistsError):
                self._store.create(_version_key(name, after.digest), after.to_json())
            details = {
                "data": name,
                "version": after.digest,
                "part": part.digest,
                "arrived": part.arrived,
                "images": len(samples),
                "heldout": int(chosen.sum()),
                "report": report,
            }

            def check(entries: Sequence[Entry], seen: Version | None = before) -> None:
                versions = [e.details["version"] for e in _of(entries, name, Action.DATA_ADDED)]
                if versions[-1:] != ([] if seen is None else [seen.digest]):
                    raise ConflictError(f"{name} has another part by now")

            with contextlib.suppress(ConflictError):
                self._history.append(
                    Event(Action.DATA_ADDED, self._by, why=why, details=details), check
                )
                return after
        raise ConflictError(f"{name}: others add parts without a pause")

    def refuse(
        self, name: str, arrived: str, refusals: Sequence[str], why: str = "", report: str = ""
    ) -> Entry:
        """Write down that something came and was not taken, once for the same reasons."""
        _check_name(name)
        told = {"data": name, "arrived": arrived, "refusals": list(refusals)}
        details = told | {"report": report}
        for entry in _of(self._history.entries(), name, Action.DATA_REFUSED):
            if {key: entry.details.get(key) for key in told} == told:
                return entry
        return self._history.append(
            Event(Action.DATA_REFUSED, self._by, why=why or "; ".join(refusals), details=details)
        )

    def open(
        self, version: Version, split: str = ALL, parts: Iterable[str] | None = None
    ) -> Samples:
        """The pictures of a version, every byte checked.

        Args:
            split: ``train``, ``heldout`` or ``all``.
            parts: digests of those that are wanted; None for all of them.

        Raises:
            DamagedError: the store's bytes are not those that were added.
        """
        digests = None if parts is None else set(parts)
        wanted = [part for part in version.parts if digests is None or part.digest in digests]

        def read(part: Part) -> Samples:
            samples = self._samples(version.name, part)
            if split == ALL:
                return samples
            chosen = samples.held_out(part.share)
            return samples.subset(chosen if split == HELD_OUT else ~chosen)

        with ThreadPoolExecutor(READERS) as pool:
            return joined(list(pool.map(read, wanted)), version.classes)

    def verify(self, version: Version) -> int:
        """Compare every picture with the history; returns their number.

        Raises:
            DamagedError: as for ``open``.
        """
        return len(self.open(version))

    def keep_report(self, name: str, files: Mapping[str, bytes]) -> str:
        """Put the files of a report beside the parts. Returns what it is found by: its digest."""
        _check_name(name)
        digests = {file: hashlib.sha256(data).hexdigest() for file, data in sorted(files.items())}
        found = hashlib.sha256(json.dumps(digests).encode()).hexdigest()
        for file, data in files.items():
            with contextlib.suppress(ExistsError):
                self._store.create(f"{DATA}/{name}/reports/{found}/{file}", data)
        return f"sha256:{found}"

    def report(self, name: str, digest: str = "") -> dict[str, bytes]:
        """The files of the newest report about a part.

        Args:
            digest: of the part, or of what arrived, as it begins; empty for the newest of all.

        Raises:
            NotFoundError: there is none.
        """
        begins = digest.removeprefix("sha256:")
        for entry in reversed(self.entries(name)):
            told = (str(entry.details.get(key, "")) for key in ("part", "arrived"))
            if not any(_hex(one).startswith(begins) for one in told):
                continue
            if report := str(entry.details.get("report", "")):
                folder = f"{DATA}/{name}/reports/{_hex(report)}/"
                return {
                    key.removeprefix(folder): self._store.read(key).data
                    for key in self._store.keys(folder)
                }
        raise NotFoundError(f"{name} has no report about {digest or 'anything'}")

    def _samples(self, name: str, part: Part) -> Samples:
        key = _part_key(name, part.digest)
        try:
            samples = Samples.from_bytes(self._store.read(key).data, key)
        except NotFoundError:
            raise DamagedError(f"{name}: the part {part.digest} is missing in the store") from None
        if samples.digest != part.digest:
            raise DamagedError(
                f"{name}: a part has {samples.digest}, but was added as {part.digest}"
            )
        return samples

    def _read(self, name: str, digest: str) -> Version:
        key = _version_key(name, digest)
        try:
            found = Version.from_json(self._store.read(key).data, key)
        except NotFoundError:
            raise DamagedError(f"{name}: the version {digest} is missing in the store") from None
        if (found.name, found.digest) != (name, digest):
            raise DamagedError(f"{key} is another version than the history names")
        return found

    def _added(self, name: str) -> list[Entry]:
        return _of(self._history.entries(), name, Action.DATA_ADDED)

    def _told(self, *actions: Action) -> list[Entry]:
        return [entry for entry in self._history.entries() if entry.action in actions]


def _of(entries: Iterable[Entry], name: str, action: Action) -> list[Entry]:
    return [e for e in entries if e.action is action and e.details.get("data") == name]


def _appended(name: str, before: Version | None, part: Part, classes: Sequence[str]) -> Version:
    """A version with one part more; new classes come after those that it had."""
    parts = (*(() if before is None else before.parts), part)
    names = (*(() if before is None else before.classes), *classes)
    return Version(name, parts, tuple(dict.fromkeys(names)))


def _check(name: str, samples: Samples, split: str) -> None:
    _check_name(name)
    if split not in ("", *SPLITS):
        raise RefusedError(f"{split!r} is no split: it is {' or '.join(SPLITS)}, or empty for both")
    if not len(samples):
        raise RefusedError("a part has at least one picture")
    pixels = sum(image.nbytes for image in samples.images)
    if pixels > LARGEST_PART_BYTES:
        raise RefusedError(
            f"the part has {pixels >> 20} MiB of pixels; the limit is {LARGEST_PART_BYTES >> 20}: "
            "add it in several parts"
        )


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise RefusedError(
            f"{name!r} cannot be the name of a data set: up to 63 of a-z, 0-9, '.', '_' and '-'"
        )


def _part_key(name: str, digest: str) -> str:
    return f"{DATA}/{name}/parts/{_hex(digest)}.npz"


def _version_key(name: str, digest: str) -> str:
    return f"{DATA}/{name}/versions/{_hex(digest)}.json"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")

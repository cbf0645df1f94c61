from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from registry.entry import Action, Entry, Event
from registry.errors import DamagedError, ExistsError, RefusedError, StoreError
from registry.folder import FolderStore
from registry.history import HEAD, History
from registry.objects import ObjectStore
from registry.signing import Signer, Verifier, make_key
from registry.verified import Point, VerifiedPoint


def event(number: int = 1, by: str = "ada") -> Event:
    return Event(Action.PUBLISHED, by, "mnist", str(number), "because", {"n": number})


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.history.PACK", 16)


def fill(store: ObjectStore, count: int) -> History:
    made = History(store)
    for number in range(1, count + 1):
        made.append(event(number))
    return made


def test_entries_come_back_in_order(store: ObjectStore) -> None:
    history = fill(store, 3)
    found = History(store).entries()
    assert [entry.revision for entry in found] == ["1", "2", "3"]
    assert [entry.number for entry in found] == [1, 2, 3]
    assert found == history.entries()
    assert found[2].previous == found[1].digest


def test_an_empty_history(store: ObjectStore) -> None:
    assert History(store).entries() == []


def test_writers_at_once_make_one_chain_and_lose_nothing(store: ObjectStore) -> None:
    def write(who: int) -> None:
        history = History(store)
        for number in range(10):
            history.append(event(number, f"writer-{who}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = History(store).entries()
    assert len(found) == 40
    for who in range(4):
        mine = [entry.revision for entry in found if entry.by == f"writer-{who}"]
        assert mine == [str(number) for number in range(10)]


def _write(arguments: tuple[str, int]) -> None:
    root, count = arguments
    history = History(FolderStore(Path(root)))
    for number in range(count):
        history.append(event(number, root))


def test_processes_at_once_make_one_chain(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_write, [(root, 50)] * 2, chunksize=1)
    assert len(History(FolderStore(Path(root))).entries()) == 100


def test_a_writer_that_ended_before_the_head_moved(store: ObjectStore) -> None:
    fill(store, 2)
    behind = store.read(HEAD)
    third = Entry.of(event(3), 3, "2026-01-01T00:00:00Z", History(store).entries()[1].digest)
    store.create("history/entries/000000000003.json", third.to_json())
    assert store.read(HEAD) == behind
    assert len(History(store).entries()) == 3
    assert History(store).append(event(4)).number == 4
    assert [entry.revision for entry in History(store).entries()] == ["1", "2", "3", "4"]


def test_a_head_that_went_back(store: ObjectStore) -> None:
    """Where two replaced it at the same time, and the store let both."""
    fill(store, 2)
    second = store.read(HEAD).data
    fill(store, 3)
    store.replace(HEAD, second, store.read(HEAD).etag)
    assert len(History(store).entries()) == 5
    assert History(store).append(event(9)).number == 6
    assert len(History(store).entries()) == 6


def test_an_answer_of_the_store_that_was_lost(folder: FolderStore) -> None:
    """The write is made again by the client's library, and finds its own object."""

    class Lossy(FolderStore):
        def create(self, key: str, data: bytes) -> None:
            super().create(key, data)
            if "entries" in key:
                raise ExistsError(key)

    store = Lossy(Path(folder.url.removeprefix("file://")))
    History(store).append(event(1))
    History(store).append(event(2))
    assert [entry.revision for entry in History(store).entries()] == ["1", "2"]


def test_what_a_check_saw_is_what_the_entry_follows(folder: FolderStore) -> None:
    def at_most(count: int) -> None:
        def check(entries: object) -> None:
            if len(list(entries)) >= 5:  # type: ignore[call-overload]
                raise RefusedError("five are enough")

        History(folder).append(event(count), check)

    def tried(number: int) -> bool:
        try:
            at_most(number)
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(tried, range(12))) == 5
    assert len(History(folder).entries()) == 5


def test_packs_are_the_same_entries_in_fewer_reads(folder: FolderStore) -> None:
    fill(folder, 2 * 16 + 3)
    assert len(list(folder.keys("history/packs/"))) == 2
    reads: list[str] = []

    class Counting(FolderStore):
        def read(self, key: str):  # type: ignore[no-untyped-def]
            reads.append(key)
            return super().read(key)

    store = Counting(Path(folder.url.removeprefix("file://")))
    found = History(store).entries()
    assert len(reads) == 1 + 2 + 3 + 1  # the head, packs, entries, and whether there is more
    for key in list(folder.keys("history/packs/")):
        folder.delete(key)
    assert History(store).entries() == found


def test_small_packs_for_what_fills_no_large_one(
    folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.history.SMALL_PACK", 4)
    history = fill(folder, 16 + 11)
    assert [len(list(folder.keys(f"history/packs/{size}/"))) for size in (16, 4)] == [1, 6]
    for key in list(folder.keys("history/entries/"))[: 16 + 8]:
        folder.delete(key)
    found = History(folder).entries()
    assert [entry.number for entry in found] == list(range(1, 16 + 12))
    assert found == history.entries()
    late = History(folder)
    monkeypatch.setattr(late, "_head", lambda: (18, found[17].digest, ""))
    with pytest.raises(DamagedError, match="entry 17 is missing"):
        late.entries()


def test_a_history_reads_what_is_new_only(folder: FolderStore) -> None:
    history = fill(folder, 16 + 5)
    assert len(history.entries()) == 16 + 5
    fill(folder, 16)
    assert [entry.number for entry in history.entries()] == list(range(1, 2 * 16 + 6))


@pytest.mark.parametrize("change", ["changed", "missing", "swapped", "no entry", "cut off"])
def test_a_chain_that_was_tampered_with_is_damaged(folder: FolderStore, change: str) -> None:
    fill(folder, 4)
    keys = list(folder.keys("history/entries/"))
    if change == "changed":
        document = json.loads(folder.read(keys[1]).data)
        document["why"] = "something else"
        folder.delete(keys[1])
        folder.create(keys[1], json.dumps(document).encode())
    elif change == "missing":
        folder.delete(keys[2])
    elif change == "swapped":
        one, other = folder.read(keys[0]).data, folder.read(keys[1]).data
        for key, data in ((keys[0], other), (keys[1], one)):
            folder.delete(key)
            folder.create(key, data)
    elif change == "no entry":
        folder.delete(keys[3])
        folder.create(keys[3], b"{}")
    else:
        head = json.dumps({"number": 3, "digest": "sha256:" + "1" * 64}).encode()
        folder.replace(HEAD, head, folder.read(HEAD).etag)
    with pytest.raises(DamagedError):
        History(folder).entries()


def test_signed_entries(folder: FolderStore, tmp_path: Path) -> None:
    public = make_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    signer = Signer.read(tmp_path / "key.pem")
    verifier = Verifier.read([public])
    History(folder, signer).append(event(1))
    assert len(History(folder, verifier=verifier).entries()) == 1
    History(folder).append(event(2))
    assert len(History(folder).entries()) == 2
    with pytest.raises(DamagedError, match="entry 2 of the history is signed by nobody"):
        History(folder, verifier=verifier).entries()


def test_a_signature_is_of_one_entry_and_one_key(tmp_path: Path) -> None:
    signer = Signer.read(_key(tmp_path / "one.pem"))
    _key(tmp_path / "other.pem")
    entry = signer.signed(Entry.of(event(), 1, "2026-01-01T00:00:00Z", "sha256:" + "0" * 64))
    mine = Verifier.read([tmp_path / "one.pub"])
    mine.check(entry)
    for wrong in (replace(entry, why="another"), replace(entry, signature="AAAA")):
        with pytest.raises(DamagedError, match="wrong signature"):
            mine.check(wrong)
    with pytest.raises(DamagedError, match="is not trusted"):
        Verifier.read([tmp_path / "other.pub"]).check(entry)


def test_signatures_that_were_good_are_not_checked_again(
    folder: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, verifier = Signer.read(_key(tmp_path / "a.pem")), Verifier.read([tmp_path / "a.pub"])
    checked: list[int] = []
    real = Verifier.check

    def check(self: Verifier, entry: Entry) -> None:
        checked.append(entry.number)
        real(self, entry)

    monkeypatch.setattr(Verifier, "check", check)
    point = VerifiedPoint(tmp_path / "cache" / "point.json")

    def read() -> int:
        checked.clear()
        return len(History(folder, verifier=verifier, verified=point).entries())

    for number in range(5):
        History(folder, signer).append(event(number))
    assert (read(), checked) == (5, [1, 2, 3, 4, 5])
    assert (read(), checked) == (5, [])
    History(folder, signer).append(event(6))
    assert (read(), checked) == (6, [6])
    # A history that does not come by the digest is another one, or was made anew.
    point.write(Point(6, "sha256:" + "1" * 64))
    assert (read(), checked) == (6, [1, 2, 3, 4, 5, 6])
    point.write(Point(9, "sha256:" + "1" * 64))
    assert (read(), len(checked)) == (6, 6)
    (tmp_path / "cache" / "point.json").write_text("nothing")
    assert (read(), len(checked)) == (6, 6)
    History(folder).append(event(7))
    for _ in range(2):
        with pytest.raises(DamagedError, match="entry 7 of the history is signed by nobody"):
            read()


def test_a_point_is_of_one_store_and_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    told = [("s3://a", ["1"]), ("s3://b", ["1"]), ("s3://a", ["2"]), ("s3://a", ["1", "2"])]
    points = [VerifiedPoint.of(*one) for one in told]
    assert len({vars(point)["_path"] for point in points if point}) == 4
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert VerifiedPoint.of("s3://a", []) is None


def test_what_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(StoreError, match="no private key"):
        Signer.read(tmp_path / "no.pem")
    with pytest.raises(StoreError, match="no public key"):
        Verifier.read([tmp_path / "missing.pub"])
    with pytest.raises(StoreError, match="cannot be made"):
        make_key(tmp_path / "no.pem")


def _key(path: Path) -> Path:
    make_key(path)
    return path


def test_a_check_sees_what_a_writer_that_ended_has_left(folder: FolderStore) -> None:
    """An entry after the head, whose writer was killed before it moved that."""
    one, other = History(folder), History(folder)
    one.append(Event(Action.ALIASED, "ada"))
    head = folder.read(HEAD)
    one.append(Event(Action.ALIASED, "ada", "mnist", "1"))
    folder.replace(HEAD, head.data, folder.read(HEAD).etag)

    def check(entries: Sequence[Entry]) -> None:
        if entries[-1].model != "mnist":
            raise RefusedError("there is no mnist")

    assert other.append(Event(Action.ALIASED, "grace"), check).number == 3
    folder.replace(HEAD, head.data, folder.read(HEAD).etag)
    with pytest.raises(RefusedError):
        other.append(Event(Action.ALIASED, "grace"), lambda _: check([Entry(Action.ALIASED, "x")]))

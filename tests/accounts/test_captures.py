import base64
import os
from dataclasses import replace

import pytest
from sqlalchemy import select

from accounts.captures import (
    Captures,
    Choice,
    Copy,
    choices,
    choose,
    kept,
    stop,
)
from accounts.clock import DAY_MS
from accounts.errors import BusyError, InvalidValueError, NotFoundError
from accounts.feedback import disagreements
from accounts.seals import SealError, Seals
from accounts.tables import AuditEntry, Capture, Feedback
from registry.folder import FolderStore

ME, OTHER = "acc_1", "acc_2"
PICTURE = Copy("/v1/models/mnist:predict", "top_k=2", {"content-type": "image/png"}, b"\x89PNG" * 9)
ALL = Choice("mnist", 100, 1 << 20, 30)


def keys(*names):
    return " ".join(f"{n}:{base64.b64encode(os.urandom(32)).decode()}" for n in names)


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


@pytest.fixture
def captures(database, store):
    return Captures(database, store, Seals(keys("first")))


@pytest.fixture
def chosen(database):
    with database.write() as session:
        choose(session, ME, ALL)


def objects(store):
    return list(store.keys(""))


def test_nothing_is_kept_without_a_choice(captures, store, chosen):
    assert not captures.keep(OTHER, "r1", "mnist", PICTURE)
    assert not captures.keep(ME, "r1", "fashion-mnist", PICTURE)
    assert objects(store) == []
    assert captures.keep(ME, "r1", "mnist", PICTURE)
    assert captures.read(ME, "r1") == PICTURE
    for own in ((OTHER, "r1"), (ME, "r2")):
        with pytest.raises(NotFoundError):
            captures.read(*own)


def test_what_is_kept_is_sealed_for_itself(captures, store, database, chosen):
    for name in ("r1", "r2"):
        captures.keep(ME, name, "mnist", PICTURE)
    for name in objects(store):
        data = store.read(name).data
        assert b"PNG" not in data and b"mnist" not in data and ME.encode() not in data
    # One's key does not open another.
    with database.write() as session:
        one, two = session.scalars(select(Capture).order_by(Capture.request_id)).all()
        one.object, two.object = two.object, one.object
    with pytest.raises(BusyError, match="not what was sealed"):
        captures.read(ME, "r1")


def test_without_its_row_nobody_reads_it_and_its_object_is_deleted(captures, store, chosen):
    for name in ("r1", "r2"):
        captures.keep(ME, name, "mnist", PICTURE)
    assert captures.forget(ME, "r1") == 1 and captures.forget(OTHER) == 0
    assert captures.read(ME, "r2") == PICTURE and len(objects(store)) == 1
    assert captures.forget(ME) == 1
    assert objects(store) == []
    with pytest.raises(NotFoundError):
        captures.read(ME, "r2")


def test_keys_are_rotated_and_a_lost_one_is_told(database, store, chosen):
    old, new = keys("old"), keys("new")
    Captures(database, store, Seals(old)).keep(ME, "r1", "mnist", PICTURE)
    both = Captures(database, store, Seals(f"{new} {old}"))
    both.keep(ME, "r2", "mnist", PICTURE)
    assert both.read(ME, "r1") == both.read(ME, "r2") == PICTURE
    alone = Captures(database, store, Seals(new))
    assert alone.read(ME, "r2") == PICTURE
    with pytest.raises(BusyError, match="key old, which is not here"):
        alone.read(ME, "r1")


@pytest.mark.parametrize("text", ["", "a", "a:", "a:AAAA", f"{'n' * 33}:{keys('x')[2:]}"])
def test_keys_that_are_none(text):
    with pytest.raises(SealError):
        Seals(text)


def test_no_more_is_kept_than_was_chosen(captures, database, store, chosen):
    large = replace(PICTURE, body=bytes(600 << 10))
    assert captures.keep(ME, "r1", "mnist", large)
    assert not captures.keep(ME, "r2", "mnist", large)
    assert captures.keep(ME, "r3", "mnist", PICTURE)
    # A repeat under the same id is kept once.
    assert not captures.keep(ME, "r3", "mnist", PICTURE)
    with database.read() as session:
        (row,) = kept(session, ME)
    assert (row.count, row.size_bytes) == (2, (600 << 10) + len(PICTURE.body))
    assert len(objects(store)) == 2


def test_what_is_old_is_deleted_and_what_a_kill_left_behind(
    captures, database, store, chosen, monkeypatch
):
    captures.keep(ME, "old", "mnist", PICTURE)
    with database.write() as session:
        session.scalars(select(Capture)).one().expires_ms = 1
    with pytest.raises(NotFoundError):
        captures.read(ME, "old")
    captures.keep(ME, "new", "mnist", PICTURE)
    store.create("captures/2026-01-01/orphan", b"sealed")
    assert captures.prune() == 1
    assert len(objects(store)) == 1
    assert captures.read(ME, "new") == PICTURE


@pytest.mark.parametrize(
    "change",
    [
        {"model": "No"},
        {"percent": 0},
        {"percent": 101},
        {"max_bytes": 1},
        {"max_bytes": 1 << 40},
        {"days": 0},
        {"days": 91},
    ],
)
def test_choices_out_of_bounds(database, change):
    with pytest.raises(InvalidValueError), database.write() as session:
        choose(session, ME, replace(ALL, **change))


def test_switching_on_and_off_is_on_record(captures, database, chosen):
    captures.keep(ME, "r1", "mnist", PICTURE)
    with database.write() as session:
        choose(session, ME, replace(ALL, percent=0.5))
        assert choices(session, ME) == [replace(ALL, percent=0.5)]
        stop(session, ME, "mnist")
    with pytest.raises(NotFoundError), database.write() as session:
        stop(session, ME, "mnist")
    assert not captures.keep(ME, "r2", "mnist", PICTURE)
    assert captures.read(ME, "r1") == PICTURE
    captures.forget(ME)
    with database.read() as session:
        said = [e.action for e in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert said == [*["capture switched on"] * 2, "capture switched off", "captures deleted"]


def test_disagreements_are_those_whose_request_is_kept(captures, database, chosen):
    zeros = {"probability": 0.5, "unsure": False, "words": 1, "predicted_ms": 1, "revision": "1"}
    rows = [("r1", 0, "1"), ("r1", 1, "7"), ("r2", 0, "1"), ("unkept", 0, "1")]
    with database.write() as session:
        for name, instance, label in rows:
            row = {"account_id": ME, "request_id": name, "instance": instance, "label": label}
            session.add(Feedback(**row, **zeros, model="mnist", predicted="7", given_ms=DAY_MS))
    for name in ("r1", "r2"):
        captures.keep(ME, name, "mnist", PICTURE)
    with database.read() as session:
        first, second = disagreements(session, "mnist", 0, 2 * DAY_MS)
        assert [(d.request_id, d.instance) for d in (first, second)] == [("r1", 0), ("r2", 0)]
        assert disagreements(session, "mnist", 0, 2 * DAY_MS, first.place) == [second]
        assert disagreements(session, "mnist", 0, 2 * DAY_MS, second.place) == []
        assert disagreements(session, "mnist", 2 * DAY_MS, 3 * DAY_MS) == []

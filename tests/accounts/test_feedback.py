import threading

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accounts.accuracy import Confusion, Scope, accuracy, confusion
from accounts.clock import DAY_MS, now_ms
from accounts.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidValueError,
    NotFoundError,
    UnknownKeyError,
)
from accounts.feedback import MAX_AT_ONCE, MAX_WORDS, RightAnswer, State, delete_old, take
from accounts.keys import (
    GIVES_FEEDBACK,
    READS_FEEDBACK,
    Bearer,
    KeyRequest,
    find_bearer,
    list_keys,
    make_key,
    revoke_key,
)
from accounts.tables import Event, Feedback, FeedbackWord, Prediction
from common.predicted import Predicted, as_header, as_set

DAYS = 30
BEARER = Bearer("key_1", "acc_1", frozenset({"*", GIVES_FEEDBACK}))


def labels(model, revision):
    return ("cat", "dog", "owl") if model == "animals" else ()


def predicted(session, request_id="r1", text="cat:900000,dog:600000?", age_ms=0, **changes):
    values = {"account_id": "acc_1", "model": "animals", "revision": "1", **changes}
    row = {**values, "request_id": request_id, "predicted": text, "at_ms": now_ms() - age_ms}
    session.add(Prediction(**row))
    session.commit()


def event(session, request_id, age_ms=0, state="billed"):
    zeros = dict.fromkeys(("attempt_id", "pixels", "request_bytes", "response_bytes"), 0)
    zeros |= dict.fromkeys(("withheld", "unanswered_milliseconds", "milliseconds"), 0)
    names = {"account_id": "acc_1", "request_id": request_id, "key_id": "k", "content": ""}
    names |= {"model": "animals", "revision": "1", "state": state}
    counts = dict.fromkeys(("attempts", "answers", "instances"), 1)
    at = now_ms() - age_ms
    session.add(Event(**names, **zeros, **counts, status=200, started_ms=at, completed_ms=at))
    session.commit()


def say(session, label, instance=0, request_id="r1", bearer=BEARER):
    (taken,) = take(session, bearer, [RightAnswer(request_id, instance, label)], labels, DAYS)
    session.commit()
    return taken


def test_a_right_answer_is_compared_with_what_was_predicted(session):
    predicted(session)
    taken = say(session, "cat")
    assert (taken.state, taken.right, taken.predicted) == (State.NEW, True, "cat")
    assert (taken.model, taken.revision) == ("animals", "1")
    wrong = say(session, "owl", instance=1)
    assert (wrong.right, wrong.predicted) == (False, "dog")
    row = session.get(Feedback, ("acc_1", "r1", 1))
    assert (row.probability, row.unsure) == (pytest.approx(0.6), True)


def test_the_same_again_changes_nothing_and_another_is_a_correction(session):
    predicted(session)
    states = [say(session, label).state for label in ("owl", "owl", "cat", "cat", "owl")]
    assert [s.value for s in states] == ["new", "same", "corrected", "same", "corrected"]
    assert session.get(Feedback, ("acc_1", "r1", 0)).label == "owl"
    words = session.scalars(select(FeedbackWord.label).order_by(FeedbackWord.number)).all()
    assert words == ["owl", "cat", "owl"]


def test_minds_are_not_changed_for_ever(session):
    predicted(session)
    for number in range(MAX_WORDS):
        say(session, ("cat", "dog")[number % 2])
    with pytest.raises(ConflictError, match="corrected 9 times"):
        say(session, "owl")
    assert say(session, "dog").state is State.SAME


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (("r1", 0, "yak"), InvalidValueError, "'yak' is no label of animals.*cat, dog, owl"),
        (("r1", 2, "cat"), InvalidValueError, "2 instances"),
        (("r1", -1, "cat"), InvalidValueError, "2 instances"),
        (("unknown", 0, "cat"), NotFoundError, "no such request"),
        (("others", 0, "cat"), NotFoundError, "no such request"),
        (("old", 0, "cat"), GoneError, "kept for 30 days"),
        (("gone", 0, "cat"), GoneError, "kept for 30 days"),
        (("failed", 0, "cat"), ConflictError, "had no answer"),
        (("unkept", 0, "cat"), ConflictError, GIVES_FEEDBACK),
        (("cardless", 0, "cat"), ConflictError, "card is missing"),
    ],
)
def test_what_cannot_be_taken_says_why_and_takes_nothing(session, answer, error, told):
    predicted(session)
    predicted(session, "others", account_id="acc_2")
    predicted(session, "cardless", model="plants")
    # Not deleted yet, and deleted.
    predicted(session, "old", age_ms=31 * DAY_MS)
    event(session, "old", age_ms=31 * DAY_MS)
    event(session, "gone", age_ms=40 * DAY_MS)
    event(session, "failed", state="failed")
    event(session, "unkept")
    both = [RightAnswer("r1", 0, "cat"), RightAnswer(*answer)]
    with pytest.raises(error, match=f"item 1: .*{told}.*; nothing was taken"):
        take(session, BEARER, both, labels, DAYS)
    session.rollback()
    assert session.scalars(select(Feedback)).all() == []


def test_of_several_labels_all_are_compared(session):
    texts = [as_set(("cat", "dog")), as_set(()), as_set(("owl",))]
    given = as_header([Predicted(text, 0.5) for text in texts])
    predicted(session, text=given)
    said = [
        RightAnswer("r1", 0, labels=("dog", "cat")),
        RightAnswer("r1", 1, labels=("cat",)),
        RightAnswer("r1", 2, labels=()),
    ]
    taken = take(session, BEARER, said, labels, DAYS)
    session.commit()
    assert [item.right for item in taken] == [True, False, False]
    assert (taken[0].label, taken[2].label, taken[1].predicted) == ("{cat, dog}", "{}", "{}")
    (again,) = take(session, BEARER, [RightAnswer("r1", 0, labels=("cat", "dog"))], labels, DAYS)
    assert again.state is State.SAME
    (row,) = accuracy(session, Scope(0, now_ms() + 1))
    assert (row.count, row.right) == (3, 1)


@pytest.mark.parametrize(
    ("text", "answer", "told"),
    [
        ("{cat}", {"label": "cat"}, "several labels"),
        ("cat", {"labels": ("cat",)}, "has one label"),
        ("{cat}", {"labels": ("cat", "yak")}, "'yak' is no label of animals"),
    ],
)
def test_one_label_is_not_taken_for_several(session, text, answer, told):
    predicted(session, text=as_header([Predicted(text, 0.5)]))
    with pytest.raises(InvalidValueError, match=told):
        take(session, BEARER, [RightAnswer("r1", 0, **answer)], labels, DAYS)


@pytest.mark.parametrize("count", [0, MAX_AT_ONCE + 1])
def test_so_many_come_at_once(session, count):
    with pytest.raises(InvalidValueError, match="at once"):
        take(session, BEARER, [RightAnswer("r1", 0, "cat")] * count, labels, DAYS)


def test_a_key_needs_the_right_and_the_model(session):
    predicted(session)
    for scopes in ({"*"}, {"*", READS_FEEDBACK}, {"plants", GIVES_FEEDBACK}):
        bearer = Bearer("key_1", "acc_1", frozenset(scopes))
        with pytest.raises(ForbiddenError):
            say(session, "cat", bearer=bearer)


def test_what_was_said_stays_said_when_the_prediction_is_gone(session):
    predicted(session, age_ms=20 * DAY_MS)
    event(session, "r1", age_ms=20 * DAY_MS)
    say(session, "owl")
    assert delete_old(session, now_ms() - 10 * DAY_MS, now_ms() - 400 * DAY_MS) == (1, 0)
    assert say(session, "owl").state is State.SAME
    event(session, "r2", age_ms=31 * DAY_MS)
    with pytest.raises(ConflictError):
        say(session, "cat")
    assert delete_old(session, 0, now_ms() + 1) == (0, 1)
    assert session.scalars(select(FeedbackWord)).all() == []


def test_of_many_at_once_each_word_is_counted_once(engine, session):
    """Whatever the order: one is new, and what is the last one's in the table is the truth."""
    predicted(session)
    states, errors = [], []

    def one(label):
        try:
            with Session(engine) as own:
                states.append(say(own, label).state)
        except Exception as error:  # pragma: no cover
            errors.append(error)

    threads = [threading.Thread(target=one, args=(("cat", "dog")[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert states.count(State.NEW) == 1
    row = session.get(Feedback, ("acc_1", "r1", 0))
    assert row.words == session.scalar(select(func.count()).select_from(FeedbackWord))
    assert row.words == 1 + states.count(State.CORRECTED)


def test_accuracy_by_revision_customer_and_day(session):
    for number in range(10):
        for account in ("acc_1", "acc_2"):
            name, revision = f"{account}-{number}", str(1 + number % 2)
            predicted(session, name, account_id=account, revision=revision, age_ms=DAY_MS)
            bearer = Bearer("k", account, BEARER.scopes)
            # The second revision is right half of the time, and for one customer alone.
            right = revision == "1" or account == "acc_1"
            say(session, "cat" if right else "owl", request_id=name, bearer=bearer)
    everything = Scope(0, now_ms() + 1)
    rows = accuracy(session, everything)
    assert [(r.revision, r.count, r.right) for r in rows] == [("1", 10, 10), ("2", 10, 5)]
    assert rows[0].low == pytest.approx(0.7225, abs=1e-4)
    (both,) = accuracy(session, everything, ())
    assert (both.count, both.share) == (20, 0.75)
    split = accuracy(session, everything, ("revision", "account", "day"))
    assert [(r.revision, r.account_id, r.right) for r in split] == [
        ("1", "acc_1", 5),
        ("1", "acc_2", 5),
        ("2", "acc_1", 5),
        ("2", "acc_2", 0),
    ]
    day = (now_ms() - DAY_MS) // DAY_MS * DAY_MS
    assert {row.day_ms for row in split} <= {day, day + DAY_MS}
    own = accuracy(session, Scope(0, now_ms(), "acc_2", "animals"), ("account",))
    assert [(r.count, r.right) for r in own] == [(10, 5)]
    assert accuracy(session, Scope(0, now_ms() - 2 * DAY_MS)) == []
    found = confusion(session, Scope(0, now_ms(), revision="2"))
    assert found == [Confusion("cat", "cat", 5), Confusion("owl", "cat", 5)]


def test_keys_of_programs(session, account):
    shown = make_key(session, account.id, KeyRequest("k", ("mnist", GIVES_FEEDBACK)))
    session.commit()
    bearer = find_bearer(session, shown.key)
    assert (bearer.account_id, bearer.rights) == (account.id, frozenset())
    assert bearer.may_ask("mnist") and not bearer.may_ask("animals")
    (view,) = list_keys(session, account.id)
    assert (view.models, view.rights) == (("mnist",), (GIVES_FEEDBACK,))
    for other in ("", "vk_x", shown.key[:-1]):
        with pytest.raises(UnknownKeyError):
            find_bearer(session, other)
    revoke_key(session, account.id, shown.id)
    session.commit()
    with pytest.raises(UnknownKeyError):
        find_bearer(session, shown.key)
    with pytest.raises(InvalidValueError, match="feedback:write"):
        make_key(session, account.id, KeyRequest("k", ("feedback:all",)))

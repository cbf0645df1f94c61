import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from accounts.clock import DAY_MS, HOUR_MS, month_bounds, month_of, now_ms
from accounts.csv_text import csv_lines
from accounts.errors import ConflictError, NotFoundError
from accounts.invoice_pdf import invoice_pdf
from accounts.invoices import (
    accounts_to_bill,
    as_csv,
    behind_usage,
    bill_so_far,
    find_issued,
    issue,
    issued,
    lines_of,
    void,
)
from accounts.prices import PriceListError, read_prices
from accounts.tables import Invoice, UsageHour
from accounts.usage import ModelUsage, per_account, per_model, per_revision, windows

PRICES = """
currency: EUR
minor_digits: 2
periods:
  - from: "2026-01"
    models:
      "*":
        request: {price: "0.001", free: 100}
        instance: {price: "0.01"}
        megapixel: {price: "0.1", free: 1}
  - from: "2026-06"
    models:
      "*":
        request: {price: "0.002"}
        instance: {price: "0"}
        megapixel: {price: "0"}
      mnist:
        request: {price: "1"}
        instance: {price: "0"}
        megapixel: {price: "0"}
"""


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES)
    return read_prices(path)


def hour(session, account, at_ms, **changes):
    row = {
        "account_id": account.id,
        "hour_ms": at_ms // HOUR_MS * HOUR_MS,
        "key_id": "k",
        "model": "mnist",
        "revision": "1",
        "requests": 10,
        "failures": 1,
        "instances": 20,
        "pixels": 500_000,
        "request_bytes": 5,
        "response_bytes": 5,
        "milliseconds": 100,
        "unanswered_milliseconds": 0,
    }
    session.add(UsageHour(**{**row, **changes}))
    session.commit()


def test_lines_take_the_free_units_off_and_add_up(prices):
    used = [ModelUsage("fashion-mnist", 150, 7, 2_500_000)]
    lines = lines_of(used, prices, "2026-05")
    assert [(x.unit, x.quantity, x.charged, x.amount_minor) for x in lines] == [
        ("request", "150", "50", 5),
        ("instance", "7", "7", 7),
        ("megapixel", "2.5", "1.5", 15),
    ]


def test_a_month_has_the_prices_of_its_own_period(prices):
    used = [ModelUsage("mnist", 3, 3, 0), ModelUsage("other", 3, 3, 0)]
    assert [x.amount_minor for x in lines_of(used, prices, "2026-05")][:2] == [0, 3]
    assert [x.amount_minor for x in lines_of(used, prices, "2026-06")] == [300, 0, 0, 1, 0, 0]
    with pytest.raises(PriceListError, match="2025-12"):
        lines_of(used, prices, "2025-12")


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(0, 10**15))
def test_no_amount_is_off_by_a_cent(requests, instances, pixels):
    prices = read_prices_text()
    lines = lines_of([ModelUsage("m", requests, instances, pixels)], prices, "2026-01")
    for line in lines:
        exact = Decimal(line.charged) * Decimal(line.unit_price) * 100
        assert abs(line.amount_minor - exact) <= Decimal("0.5")
        assert Decimal(line.free) + Decimal(line.charged) == Decimal(line.quantity)


def read_prices_text():
    from accounts.prices import Period, PriceList, UnitPrice

    unit = UnitPrice(Decimal("0.0003"), Decimal(10))
    period = Period("2026-01", {"*": dict.fromkeys(("request", "instance", "megapixel"), unit)})
    return PriceList("EUR", 2, (period,))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('price: "0.001"', "price: 0.001", "quotes"),
        ('price: "0.001"', 'price: "-1"', "negative"),
        ('price: "0.001"', 'price: "NaN"', "not finite"),
        ('price: "0.001"', 'price: "much"', "not a number"),
        ('from: "2026-06"', 'from: "2026-01"', "one after the other"),
        ('from: "2026-06"', 'from: "June"', "no month"),
        ('"*":', "all:", "missing"),
        ("currency: EUR", "currency: Euro", "three letters"),
        ("currency: EUR", "", "currency"),
        ("periods:", "periods: [", "while parsing"),
    ],
)
def test_a_wrong_price_list_is_refused_by_its_place(tmp_path, old, new, said):
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES.replace(old, new))
    with pytest.raises(PriceListError, match=said):
        read_prices(path)


def test_windows_by_hour_and_by_day(session, account):
    start, _ = month_bounds("2026-03")
    for at in (start, start + HOUR_MS, start + DAY_MS):
        hour(session, account, at)
    hour(session, account, start, key_id="other")
    by_hour = windows(session, account.id, start, start + 2 * DAY_MS, "hour")
    assert len(by_hour) == 4
    by_day = windows(session, account.id, start, start + 2 * DAY_MS, "day")
    assert [(w.start_ms - start, w.key_id, w.requests, w.failures) for w in by_day] == [
        (0, "k", 20, 2),
        (0, "other", 10, 1),
        (DAY_MS, "k", 10, 1),
    ]
    assert windows(session, account.id, start, start, "day") == []
    assert windows(session, "acc_other", start, start + DAY_MS, "day") == []


def test_totals_by_model_account_and_revision(session, account):
    start, end = month_bounds("2026-03")
    hour(session, account, start)
    hour(session, account, start, revision="2", requests=30, milliseconds=600)
    hour(session, account, start, model="refused", requests=0, instances=0, pixels=0)
    hour(session, account, end)
    assert per_model(session, account.id, start, end) == [ModelUsage("mnist", 40, 40, 1_000_000)]
    assert [(a.account_id, a.requests) for a in per_account(session, start, end)] == [
        (account.id, 40)
    ]
    split = {
        r.revision: (r.share, r.mean_milliseconds)
        for r in per_revision(session, start, end)
        if r.model == "mnist"
    }
    assert split == {"1": (0.25, 10.0), "2": (0.75, 20.0)}


def test_a_bill_is_issued_once_when_its_month_is_over(session, account, prices):
    hour(session, account, now_ms() - 40 * DAY_MS)
    month = month_of(now_ms() - 40 * DAY_MS)
    first = issue(session, account.id, month, prices)
    session.commit()
    hour(session, account, now_ms() - 40 * DAY_MS, key_id="late")
    assert issue(session, account.id, month, prices) == first
    assert issued(session, account.id) == [first]
    assert session.scalars(select(Invoice)).one().total_minor == first.total_minor
    with pytest.raises(ConflictError):
        issue(session, account.id, month_of(now_ms()), prices)


def test_a_bill_outlives_its_account(session, account, prices):
    hour(session, account, now_ms() - 40 * DAY_MS)
    bill = issue(session, account.id, month_of(now_ms() - 40 * DAY_MS), prices)
    account.email, account.closed_ms = None, now_ms()
    session.commit()
    assert issued(session, account.id)[0].email == bill.email == "ada@example.org"


def test_everybody_who_used_something_gets_a_bill(session, account, prices):
    month = month_of(now_ms() - 40 * DAY_MS)
    assert accounts_to_bill(session, month, prices) == []
    hour(session, account, now_ms() - 40 * DAY_MS)
    assert accounts_to_bill(session, month, prices) == [account.id]


def test_all_forms_say_the_same(session, account, prices):
    hour(session, account, now_ms(), requests=5000)
    bill = bill_so_far(session, account.id, month_of(now_ms()), prices)
    document = json.loads(json.dumps(bill.as_json()))
    assert document["total_minor"] == sum(x["amount_minor"] for x in document["lines"]) > 0
    rows = list(csv.DictReader(io.StringIO(as_csv(bill))))
    assert [int(row["amount_minor"]) for row in rows] == [
        *(line.amount_minor for line in bill.lines),
        bill.total_minor,
    ]
    assert invoice_pdf(bill).startswith(b"%PDF-")
    assert bill.shown(bill.total_minor) == f"{Decimal(bill.total_minor) / 100:.2f} EUR"


def test_names_that_paper_has_no_letters_for_are_printed_all_the_same(session, account, prices):
    account.email = "ада@example.org"
    session.commit()
    assert invoice_pdf(bill_so_far(session, account.id, month_of(now_ms()), prices))


def test_what_was_given_up_is_billed_where_the_price_list_says_so(
    session, account, prices, tmp_path
):
    start, _ = month_bounds("2026-03")
    hour(session, account, start, unanswered_milliseconds=90_000)
    hour(session, account, start, model="other", requests=0, unanswered_milliseconds=1500)
    path = tmp_path / "priced.yaml"
    path.write_text(
        PRICES.replace(
            'megapixel: {price: "0.1", free: 1}',
            'megapixel: {price: "0.1", free: 1}\n        '
            'unanswered_second: {price: "0.02", free: 60}',
        )
    )
    silent = bill_so_far(session, account.id, "2026-03", prices)
    assert [line.unit for line in silent.lines] == ["request", "instance", "megapixel"]
    priced = bill_so_far(session, account.id, "2026-03", read_prices(path))
    found = {(x.model, x.quantity, x.charged, x.amount_minor) for x in priced.lines[3:]}
    assert found == {("mnist", "90", "30", 60), ("other", "1.5", "0", 0)}
    assert priced.total_minor == silent.total_minor + 60


def test_nobody_gets_a_bill_for_nothing(session, account, prices):
    start, _ = month_bounds("2026-03")
    hour(session, account, start, requests=0, unanswered_milliseconds=90_000)
    assert accounts_to_bill(session, "2026-03", prices) == []


@pytest.mark.parametrize(
    "month", ["2026-1", "2026-13", "0001-01", "1969-12", "2026-٠١", " 2026-01", "2026-01-01", ""]
)
def test_there_is_one_way_to_write_a_month(month):
    with pytest.raises(ValueError, match="is no month"):
        month_bounds(month)


def test_a_clock_that_is_ahead_closes_no_month(session, account, prices, monkeypatch):
    """Of this machine, where the database has a clock of its own."""
    if session.get_bind().dialect.name == "sqlite":
        pytest.skip("SQLite has no clock but this machine's: see the next test")
    hour(session, account, now_ms())
    ahead = month_bounds(month_of(now_ms()))[1] + 3 * DAY_MS
    monkeypatch.setattr("accounts.invoices.now_ms", lambda: ahead)
    with pytest.raises(ConflictError):
        issue(session, account.id, month_of(now_ms()), prices)


def test_a_bill_of_a_clock_that_was_ahead_is_replaced(session, account, prices, monkeypatch):
    month = month_of(now_ms() - 40 * DAY_MS)
    early, end = month_bounds(month)
    for place in ("accounts.invoices", "accounts.database"):
        monkeypatch.setattr(f"{place}.now_ms", lambda: end + 3 * DAY_MS)
    hour(session, account, early)
    wrong = issue(session, account.id, month, prices)
    # The clock is right again, and the month goes on.
    for place in ("accounts.invoices", "accounts.database"):
        monkeypatch.setattr(f"{place}.now_ms", lambda: end - DAY_MS)
    assert find_issued(session, account.id, month) is None
    assert issued(session, account.id) == []
    with pytest.raises(ConflictError):
        issue(session, account.id, month, prices)
    hour(session, account, end - 1, key_id="later")
    for place in ("accounts.invoices", "accounts.database"):
        monkeypatch.setattr(f"{place}.now_ms", lambda: end + DAY_MS)
    right = issue(session, account.id, month, prices)
    assert right.number > wrong.number
    assert right.total_minor > wrong.total_minor
    assert issued(session, account.id) == [right]


def test_a_bill_that_says_too_little_is_named_and_taken_back(session, account, prices):
    month = month_of(now_ms() - 40 * DAY_MS)
    hour(session, account, now_ms() - 40 * DAY_MS)
    first = issue(session, account.id, month, prices)
    assert behind_usage(session) == []
    hour(session, account, now_ms() - 40 * DAY_MS, key_id="late")
    assert behind_usage(session) == [first.number]
    assert void(session, first.number, "acc_1", "wrong") == month
    with pytest.raises(NotFoundError):
        void(session, first.number, "acc_1", "wrong")
    second = issue(session, account.id, month, prices)
    assert second.total_minor == 2 * first.total_minor
    assert behind_usage(session) == []
    assert issued(session, account.id) == [second]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_run_as_a_formula(name):
    (line,) = csv_lines([[name, -1, "a=1"]])
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert row == [f"'{name}", "-1", "a=1"]

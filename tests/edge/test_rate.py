import pytest

from edge.rate import Lease, Tokens, draw

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


def let_through(rate, times, wanted=1):
    """How many tokens a bucket gives out to who asks at these times."""
    due, total = 0, 0
    for now in times:
        due, lease = draw(due, now, rate, wanted)
        total += lease.tokens
    return total


@pytest.mark.parametrize("rate", [1, 3, 5, 100, 999])
@pytest.mark.parametrize("wanted", [1, 7])
def test_a_second_of_quiet_lets_a_seconds_worth_through_at_once(rate, wanted):
    assert let_through(rate, [START] * (3 * rate), wanted) == rate


@pytest.mark.parametrize("wanted", [1, 4])
def test_over_a_long_time_the_rate_is_kept(wanted):
    times = [START + n * 1_000_000 for n in range(20_000)]
    assert let_through(10, times, wanted) in (209, 210)


def test_the_wait_is_as_long_as_it_says():
    due, lease = draw(0, START, 2, 5)
    assert lease == Lease(2)
    again, refused = draw(due, START, 2, 1)
    assert (again, refused.tokens, refused.wait_seconds) == (due, 0, pytest.approx(0.5))
    assert draw(due, START + SECOND // 4, 2, 1)[1].tokens == 0
    assert draw(due, START + SECOND // 2, 2, 1)[1] == Lease(1)


def test_what_was_drawn_is_given_out_once():
    tokens = Tokens(50)
    assert not tokens.take()
    tokens.add(Lease(tokens.lease), now=1.0)
    assert [tokens.take() for _ in range(6)] == [True] * 5 + [False]


def test_an_empty_bucket_is_not_asked_again_before_it_has_something():
    tokens = Tokens(1)
    tokens.add(Lease(0, 0.75), now=10.0)
    assert tokens.refused_seconds(10.25) == pytest.approx(0.5)
    assert tokens.refused_seconds(11.0) == 0.0

import pytest

from edge.rate import RateLimit


def let_through(limit, times):
    return sum(limit.wait_seconds(now) == 0.0 for now in times)


@pytest.mark.parametrize("rate", [1, 5, 100])
def test_a_second_of_quiet_lets_a_seconds_worth_through_at_once(rate):
    assert let_through(RateLimit(rate), [100.0] * (3 * rate)) == rate


def test_over_a_long_time_the_rate_is_kept():
    limit = RateLimit(10)
    assert let_through(limit, [100 + n / 1000 for n in range(20_000)]) in (209, 210)


def test_the_wait_is_as_long_as_it_says():
    limit = RateLimit(2)
    assert let_through(limit, [100.0, 100.0]) == 2
    wait = limit.wait_seconds(100.0)
    assert wait == pytest.approx(0.5)
    assert limit.wait_seconds(100.0 + wait / 2) > 0
    assert limit.wait_seconds(100.0 + wait) == 0.0

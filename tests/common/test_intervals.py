from common.intervals import wilson


def test_wilson_interval_of_the_textbook() -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I: 81 of 263."""
    low, high = wilson(81, 263, 1.959964)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0, 2.0) == (0.0, 1.0)

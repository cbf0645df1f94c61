from __future__ import annotations

import pytest

from serving.logs import LogRateLimiter


def test_a_flood_of_one_kind_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("serving.logs.time.monotonic", lambda: now)
    limiter = LogRateLimiter(per_second=2)
    assert [limiter.count("a") for _ in range(5)] == [0, 0, None, None, None]
    assert limiter.count("b") == 0
    now = 101.0
    assert [limiter.count("a") for _ in range(3)] == [3, 0, None]

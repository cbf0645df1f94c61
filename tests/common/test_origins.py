from __future__ import annotations

import pytest

from common.origins import read_origins


def test_origins_are_listed_with_commas() -> None:
    assert read_origins("") == ()
    assert read_origins("*") == ("*",)
    text = "https://App.example.org, http://localhost:3000,http://[::1]:80,"
    assert read_origins(text) == (
        "https://app.example.org",
        "http://localhost:3000",
        "http://[::1]:80",
    )


@pytest.mark.parametrize("text", ["app.example.org", "https://a.org/", "ftp://a", "*,http://a"])
def test_what_is_no_origin_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        read_origins(text)

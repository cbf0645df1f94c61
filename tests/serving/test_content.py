import asyncio

import pytest

from serving.content import CONTENT, EXPECTED, content_digest, metered_headers, require_expected
from serving.errors import RequestIdReusedError

PATH, QUERY, HEADERS, BODY = "/v1/models/mnist:predict", "top_k=2", {"content-type": "a"}, b"body"


def test_everything_that_an_answer_depends_on_changes_the_digest():
    asked = [
        (PATH, QUERY, HEADERS, BODY),
        (PATH, QUERY, HEADERS, b"other"),
        (PATH, QUERY, {"content-type": "b"}, BODY),
        (PATH, QUERY, {"content-type": "a", "accept": "image/png"}, BODY),
        (PATH, "", HEADERS, BODY),
        (PATH + "x", QUERY, HEADERS, BODY),
        # The same bytes, cut at another place.
        (PATH + "t", "op_k=2", HEADERS, BODY),
        (PATH, QUERY, {"content-type": "ab"}, b"ody"),
    ]
    assert len({content_digest(*one) for one in asked}) == len(asked)


def test_headers_on_the_way_do_not_change_it():
    more = {**HEADERS, "x-request-id": "1", "traceparent": "2", "x-forwarded-for": "3"}
    assert content_digest(PATH, QUERY, more, BODY) == content_digest(PATH, QUERY, HEADERS, BODY)


@pytest.mark.parametrize("body", [b"small", b"large" * 50_000])
def test_only_what_the_edge_meters_is_hashed(body):
    assert asyncio.run(metered_headers(PATH, QUERY, HEADERS, body)) == {}
    headers = {**HEADERS, "x-account-id": "acc_1"}
    found = asyncio.run(metered_headers(PATH, QUERY, headers, body))
    assert found == {
        "x-model-content": content_digest(PATH, QUERY, headers, body),
        "x-model-received-bytes": str(len(body)),
    }


def test_another_content_than_expected_is_refused():
    metered = {CONTENT: "a" * 64}
    require_expected({}, metered)
    require_expected({EXPECTED: "a" * 64}, metered)
    require_expected({EXPECTED: "b" * 64}, {})
    with pytest.raises(RequestIdReusedError):
        require_expected({EXPECTED: "b" * 64}, metered)

import pytest
from sqlalchemy import select

from accounts.clock import DAY_MS
from accounts.errors import ConflictError, InvalidValueError, NotFoundError
from accounts.keys import MAX_KEYS, KeyRequest, list_keys, make_key, revoke_key, rotate_key
from accounts.secret_tokens import has_key_form, new_api_key, token_hash
from accounts.tables import ApiKey
from tests.accounts.conftest import add_account


def test_a_key_is_shown_once_and_stored_as_a_hash(session, account):
    shown = make_key(session, account.id, KeyRequest("laptop", ("mnist",), 30, 1000, 5))
    session.commit()
    stored = session.get_one(ApiKey, shown.id)
    assert stored.hash == token_hash(shown.key)
    assert shown.key not in str(vars(stored))
    (listed,) = list_keys(session, account.id)
    assert (listed.name, listed.scopes, listed.quota_requests) == ("laptop", ("mnist",), 1000)
    assert listed.expires_ms - listed.created_ms == 30 * DAY_MS
    assert listed.works
    assert listed.hint.startswith(shown.key[:7])


def test_the_checksum_refuses_mistyped_keys():
    key = new_api_key()
    assert has_key_form(key)
    other = "A" if key[10] != "A" else "B"
    assert not has_key_form(key[:10] + other + key[11:])
    assert not has_key_form(key + "0")
    assert not has_key_form("")


def test_rotation_keeps_the_rights_and_ends_the_old_key(session, account):
    first = make_key(session, account.id, KeyRequest("laptop", ("mnist",), 30, 1000, 5))
    second = rotate_key(session, account.id, first.id)
    session.commit()
    old, new = (session.get_one(ApiKey, item.id) for item in (first, second))
    assert old.revoked_ms is not None
    assert new.revoked_ms is None
    for name in ("family", "name", "scopes", "quota_requests", "rate_per_second", "expires_ms"):
        assert getattr(new, name) == getattr(old, name), name
    with pytest.raises(NotFoundError):
        rotate_key(session, account.id, first.id)


def test_another_accounts_key_does_not_exist(session, account):
    other = add_account(session, "bob@example.org")
    key = make_key(session, other.id, KeyRequest("theirs"))
    for act in (revoke_key, rotate_key):
        with pytest.raises(NotFoundError):
            act(session, account.id, key.id)
    assert list_keys(session, account.id) == []


def test_revoking_twice_is_revoking_once(session, account):
    key = make_key(session, account.id, KeyRequest("laptop"))
    revoke_key(session, account.id, key.id)
    first = session.get_one(ApiKey, key.id).revoked_ms
    revoke_key(session, account.id, key.id)
    assert session.get_one(ApiKey, key.id).revoked_ms == first


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": " "}),
        ("name", {"name": "x" * 81}),
        ("scopes", {"scopes": ()}),
        ("scopes", {"scopes": ("Bad Name",)}),
        ("scopes", {"scopes": ("a" * 60,) * 9}),
        ("days", {"days": 0}),
        ("quota_requests", {"quota_requests": -1}),
        ("rate_per_second", {"rate_per_second": 0}),
        ("rate_per_second", {"rate_per_second": 1001}),
    ],
)
def test_odd_wishes_are_refused_by_field(session, account, field, changes):
    with pytest.raises(InvalidValueError) as error:
        make_key(session, account.id, KeyRequest(**{"name": "laptop", **changes}))
    assert error.value.field == field


def test_there_is_a_most_of_keys(session, account):
    for number in range(MAX_KEYS):
        make_key(session, account.id, KeyRequest(f"k{number}"))
    with pytest.raises(ConflictError):
        make_key(session, account.id, KeyRequest("one more"))
    revoke_key(session, account.id, session.scalars(select(ApiKey.id)).first())
    make_key(session, account.id, KeyRequest("one more"))


def test_a_rotated_key_goes_on_for_the_time_that_was_asked_for(session, account):
    old = make_key(session, account.id, KeyRequest("laptop", quota_requests=5))
    new = rotate_key(session, account.id, old.id, overlap_hours=24)
    session.commit()
    stored, successor = session.get_one(ApiKey, old.id), session.get_one(ApiKey, new.id)
    assert 0 < stored.expires_ms - successor.created_ms <= DAY_MS
    assert (stored.revoked_ms, stored.replaced_by) == (None, new.id)
    assert (successor.family, successor.expires_ms) == (stored.family, None)
    with pytest.raises(ConflictError):
        rotate_key(session, account.id, old.id)
    for hours in (-1, 10_000):
        with pytest.raises(InvalidValueError):
            rotate_key(session, account.id, new.id, overlap_hours=hours)

from accounts.passwords import hash_password, password_fits


def test_a_password_is_hashed_by_argon2id_at_a_strength_of_rfc_9106():
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert password_fits("correct horse battery", stored)
    assert not password_fits("correct horse batterx", stored)


def test_nobody_has_no_password():
    assert not password_fits("nobody has this password", None)
    assert not password_fits("", "not a hash")

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts import passwords as passwords_module
from accounts.errors import BusyError
from accounts.passwords import Passwords

passwords = Passwords()


def test_a_password_is_hashed_by_argon2id_at_a_strength_of_rfc_9106():
    stored = passwords.hash("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.fits("correct horse battery", stored)
    assert not passwords.fits("correct horse batterx", stored)


def test_nobody_has_no_password():
    assert not passwords.fits("nobody has this password", None)
    assert not passwords.fits("", "not a hash")


def test_half_of_a_surrogate_pair_is_a_password_like_another():
    assert passwords.fits("\ud800" * 10, passwords.hash("\ud800" * 10))
    assert not passwords.fits("\ud801" * 10, passwords.hash("\ud800" * 10))


class Counting:
    """Hashes that take a moment, and how many were made at once."""

    def __init__(self):
        self.now = self.most = 0
        self._lock = threading.Lock()

    def verify(self, stored, password):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self._lock:
            self.now -= 1
        return True


def test_only_so_many_are_hashed_at_once_and_the_rest_is_told_to_wait(monkeypatch):
    counting = Counting()
    monkeypatch.setattr(passwords_module, "_HASHER", counting)
    bounded = Passwords(max_at_once=2)

    def ask(_):
        try:
            return bounded.fits("password", "stored")
        except BusyError as error:
            assert error.headers() == {"retry-after": "1"}
            return None

    with ThreadPoolExecutor(60) as pool:
        said = list(pool.map(ask, range(60)))
    assert counting.most == 2
    assert said.count(True) >= 2
    assert said.count(True) + said.count(None) == 60
    # What waits takes a thread of the console, of which there are 40.
    assert 2 * (1 + passwords_module.WAITING_PER_HASH) <= 20


def test_who_waits_too_long_is_told_so(monkeypatch):
    monkeypatch.setattr(passwords_module, "WAIT_SECONDS", 0.01)
    bounded = Passwords(max_at_once=1)
    with bounded._turn(), pytest.raises(BusyError):
        bounded.hash("correct horse battery")
    assert bounded.hash("correct horse battery")

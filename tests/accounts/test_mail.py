import logging
import smtplib
from typing import ClassVar

import pytest

from accounts.mail import LogMailer, SmtpMailer, mailer_for
from accounts.settings import AccountsSettings


class Server:
    """An SMTP server that remembers what it was told."""

    told: ClassVar[list] = []

    def __init__(self, host, port, timeout):
        Server.told = [("connect", host, port)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Server.told.append("quit")

    def starttls(self):
        Server.told.append("tls")

    def login(self, user, password):
        Server.told.append(("login", user, password))

    def send_message(self, message):
        Server.told.append(message)


@pytest.fixture
def settings():
    return AccountsSettings(
        development=True, smtp_host="mail.example", smtp_user="u", smtp_password="p"
    )


def test_a_password_is_sent_after_tls_only(settings, monkeypatch):
    monkeypatch.setattr(smtplib, "SMTP", Server)
    mailer_for(settings).send("ada@example.org", "Hello", "text")
    assert Server.told[:3] == [("connect", "mail.example", 587), "tls", ("login", "u", "p")]
    message = Server.told[3]
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Hello")


def test_a_header_cannot_be_smuggled_in(settings, monkeypatch):
    monkeypatch.setattr(smtplib, "SMTP", Server)
    with pytest.raises(ValueError):
        SmtpMailer(settings).send("a@b.c\nBcc: all@example.org", "Hello", "text")


def test_a_server_that_is_down_changes_no_answer(settings, monkeypatch, caplog):
    def down(*_, **__):
        raise OSError("refused")

    monkeypatch.setattr(smtplib, "SMTP", down)
    SmtpMailer(settings).send("ada@example.org", "Hello", "text")
    assert "could not be sent" in caplog.text


def test_without_a_server_mail_is_printed(caplog):
    caplog.set_level(logging.INFO)
    mailer = mailer_for(AccountsSettings(development=True))
    assert isinstance(mailer, LogMailer)
    mailer.send("ada@example.org", "Hello", "the link")
    assert "the link" in caplog.text

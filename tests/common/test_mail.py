import logging
import smtplib
from typing import ClassVar

import pytest

from accounts.settings import AccountsSettings
from common.mail import (
    LogMailer,
    Mail,
    MailRefusedError,
    MailServerError,
    SmtpMailer,
    mailer_for,
)

MAIL = Mail("ada@example.org", "Hello", "the link")


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
    mailer_for(settings).send(MAIL)
    assert Server.told[:3] == [("connect", "mail.example", 587), "tls", ("login", "u", "p")]
    message = Server.told[3]
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Hello")


def test_a_header_cannot_be_smuggled_in(settings, monkeypatch):
    monkeypatch.setattr(smtplib, "SMTP", Server)
    with pytest.raises(ValueError):
        SmtpMailer(settings).send(Mail("a@b.c\nBcc: all@example.org", "Hello", "text"))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (OSError("refused"), MailServerError),
        (smtplib.SMTPServerDisconnected("gone"), MailServerError),
        (smtplib.SMTPRecipientsRefused({"a@b.c": (451, b"later")}), MailServerError),
        (smtplib.SMTPRecipientsRefused({"a@b.c": (550, b"unknown")}), MailRefusedError),
    ],
)
def test_what_may_be_tried_again_is_told_from_what_may_not(settings, monkeypatch, fault, expected):
    def down(*_, **__):
        raise fault

    monkeypatch.setattr(smtplib, "SMTP", down)
    with pytest.raises(expected) as error:
        SmtpMailer(settings).send(MAIL)
    assert "a@b.c" not in str(error.value)


def test_without_a_server_mail_is_printed(caplog):
    caplog.set_level(logging.INFO)
    mailer = mailer_for(AccountsSettings(development=True))
    assert isinstance(mailer, LogMailer)
    mailer.send(MAIL)
    assert "the link" in caplog.text


def test_a_link_in_the_log_ends_where_it_ends(caplog):
    with caplog.at_level(logging.INFO):
        text = "Open\n\nhttp://h/verify?token=t\n\nIt holds."
        LogMailer().send(Mail("ada@example.org", "Confirm", text))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "mail to ada@example.org: Confirm",
        "  Open",
        "  http://h/verify?token=t",
        "  It holds.",
    ]

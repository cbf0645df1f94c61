"""Mail: by SMTP where a server is configured, otherwise printed in the log."""

from __future__ import annotations

import logging
import smtplib
from email.message import EmailMessage
from typing import Protocol

from accounts.settings import AccountsSettings

SECONDS = 10.0

logger = logging.getLogger("accounts.mail")


class Mailer(Protocol):
    def send(self, to: str, subject: str, text: str) -> None: ...


class LogMailer:
    """Prints mails; for development, where the reader of the log is the receiver."""

    def send(self, to: str, subject: str, text: str) -> None:
        logger.info("mail to %s: %s\n%s", to, subject, text)


class SmtpMailer:
    def __init__(self, settings: AccountsSettings) -> None:
        self._settings = settings

    def send(self, to: str, subject: str, text: str) -> None:
        """A mail that cannot be sent is logged, not raised: the caller's answer must not tell
        whether there was anybody to write to.
        """
        message = EmailMessage()
        message["From"] = self._settings.mail_from
        message["To"] = to
        message["Subject"] = subject
        message.set_content(text)
        try:
            with smtplib.SMTP(
                self._settings.smtp_host, self._settings.smtp_port, timeout=SECONDS
            ) as server:
                if self._settings.smtp_tls:
                    server.starttls()
                if self._settings.smtp_user:
                    server.login(
                        self._settings.smtp_user, self._settings.smtp_password.get_secret_value()
                    )
                server.send_message(message)
        except (OSError, smtplib.SMTPException):
            logger.exception("a mail could not be sent")


def mailer_for(settings: AccountsSettings) -> Mailer:
    return SmtpMailer(settings) if settings.smtp_host else LogMailer()

"""Mail: by SMTP where a server is configured, otherwise printed in the log."""

from __future__ import annotations

import logging
import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from typing import ClassVar, Protocol

from pydantic import Field, SecretStr

from common.settings import Settings, without_prefix

SECONDS = 10.0

logger = logging.getLogger("mail")


class MailSettings(Settings):
    """Of whatever sends mail."""

    old_names: ClassVar[dict[str, str]] = without_prefix(
        "smtp_host", "smtp_port", "smtp_user", "smtp_password", "smtp_tls", "mail_from"
    )

    smtp_host: str = Field("", description="mail server; needed outside development")
    smtp_port: int = Field(587, ge=1, le=65535, description="its port")
    smtp_user: str = Field("", description="login at it, if it wants one")
    smtp_password: SecretStr = Field(SecretStr(""), description="password for that")
    smtp_tls: bool = Field(True, description="STARTTLS before anything is sent")
    mail_from: str = Field("vision@localhost", description="sender of mails")


@dataclass(frozen=True)
class Mail:
    to: str
    subject: str
    text: str


class MailServerError(Exception):
    """The server did not take a mail now; it may later."""


class MailRefusedError(Exception):
    """The server will never take this mail."""


class Mailer(Protocol):
    def send(self, mail: Mail) -> None:
        """Raises MailServerError or MailRefusedError."""


class LogMailer:
    """Prints mails; for development, where the reader of the log is the receiver.

    A log line a line of text, so that a link is followed by nothing that would be taken for a part
    of it.
    """

    def send(self, mail: Mail) -> None:
        logger.info("mail to %s: %s", mail.to, mail.subject)
        for line in mail.text.splitlines():
            if line:
                logger.info("  %s", line)


class SmtpMailer:
    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["From"] = self._settings.mail_from
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message.set_content(mail.text)
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
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            # 4xx is "not now" (RFC 5321, 4.2.1). The address itself is kept out of the log.
            kind = MailRefusedError if min(codes) >= 500 else MailServerError
            raise kind(f"the server refuses the receiver: {codes}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise MailServerError(f"{type(error).__name__}: {error}") from error


def mailer_for(settings: MailSettings) -> Mailer:
    return SmtpMailer(settings) if settings.smtp_host else LogMailer()

"""What accounts, console and edge read from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator

from common.mail import MailSettings
from common.roles import read_roles
from common.settings import Settings, without_prefix

DATABASE_PATH = "build/accounts/accounts.db"


class DatabaseSettings(Settings):
    """Of every process that opens the database."""

    old_names: ClassVar[dict[str, str]] = without_prefix("database_url")

    database_url: SecretStr = Field(
        SecretStr(f"sqlite:///{DATABASE_PATH}"),
        description="`sqlite:////file` or `mysql+pymysql://user:password@host/name`",
    )
    database_ca_file: Path | None = Field(
        None, description="certificates to trust; MariaDB and MySQL by TLS alone, server verified"
    )
    accounts_mirror: str = Field(
        "",
        description="`s3://bucket/prefix` or a folder that has every change of accounts, usage and "
        "bills before anybody is answered; empty: none",
    )


class StrangerSettings(DatabaseSettings):
    """Of what people without an account reach."""

    old_names: ClassVar[dict[str, str]] = DatabaseSettings.old_names | without_prefix(
        "trusted_proxies"
    )

    trusted_proxies: int = Field(
        0, ge=0, description="proxies in front that add to `x-forwarded-for`"
    )
    tries_per_day: int = Field(
        0, ge=0, description="answers a day that an address gets without a key; 0: none"
    )


class EdgeSettings(StrangerSettings):
    """Of the check and the meter."""

    account_in_flight: int = Field(
        32, ge=1, description="requests that an account may have under way; the next one is a 429"
    )
    tries_in_all: int = Field(
        2000, ge=0, description="answers a day without a key of all addresses together"
    )


class FeedbackSettings(Settings):
    """Of what is kept for right answers that come later."""

    prediction_days: int = Field(
        30, ge=1, le=60, description="what was predicted can be given a right answer for that long"
    )
    capture_store: str = Field(
        "",
        description="`s3://bucket/prefix` or a folder for requests that customers let us keep; "
        "empty: nobody is asked",
    )
    capture_keys: SecretStr = Field(
        SecretStr(""),
        description="keys that those are sealed with, `NAME:KEY …`; the first one seals",
    )


class RecordSettings(Settings):
    """Of who reads a rollout's record."""

    old_names: ClassVar[dict[str, str]] = without_prefix(
        "rollout_url", "rollout_token_file", "rollout_ca_file"
    )

    rollout_url: str = Field(
        "", pattern="^(https?://.+)?$", description="where a rollout's record is read, if anywhere"
    )
    rollout_token_file: Path | None = Field(None, description="bearer token to read it with")
    rollout_ca_file: Path | None = Field(None, description="certificates to trust there")


class CommandSettings(DatabaseSettings, FeedbackSettings, RecordSettings):
    """Of ``python -m accounts``."""

    old_names: ClassVar[dict[str, str]] = (
        DatabaseSettings.old_names
        | RecordSettings.old_names
        | without_prefix("prices_file", "event_days")
    )

    prices_file: Path = Field(Path(__file__).with_name("prices.yaml"), description="the price list")
    event_days: int = Field(
        400,
        ge=62,
        description="raw events and right answers are kept that long; hourly usage and bills for "
        "good",
    )


class AccountsSettings(CommandSettings, StrangerSettings, MailSettings):
    """Of the console, which alone sends mail."""

    old_names: ClassVar[dict[str, str]] = (
        CommandSettings.old_names
        | MailSettings.old_names
        | without_prefix(
            "development",
            "public_url",
            "models",
            "session_hours",
            "login_attempts",
            "registration_attempts",
            "trusted_proxies",
            "oidc_issuer",
            "oidc_client_id",
            "oidc_client_secret",
        )
    )

    development: bool = Field(
        False, description="mail is printed in the log, and cookies work without TLS"
    )
    public_url: str = Field(
        "http://localhost:8080",
        pattern="^https?://[^/]+$",
        description="what people call the service; links in mails and curl commands begin with it",
    )
    models: str = Field(
        "mnist fashion-mnist",
        description="names that the console offers, with spaces between; `name=revision` where "
        "it is known which one is served",
    )
    model_root: Path = Field(
        Path("/opt/models"),
        description="folder of `<name>/<revision>/` whose cards the console shows",
    )
    session_hours: int = Field(12, ge=1, le=720, description="a login lasts that long")
    login_attempts: int = Field(
        10, ge=1, description="failed logins a client may have at one account in 15 minutes"
    )
    client_login_attempts: int = Field(
        100, ge=1, description="failed logins a client may have at all accounts in 15 minutes"
    )
    account_login_attempts: int = Field(
        100,
        ge=1,
        description="failed logins an account may have in 15 minutes from clients new to it",
    )
    password_hashes: int = Field(
        2, ge=1, le=64, description="passwords hashed at the same time; each takes 64 MiB"
    )
    registration_attempts: int = Field(
        10, ge=1, description="registrations a client may try in an hour"
    )
    oidc_issuer: str = Field(
        "", pattern="^(https?://.+)?$", description="OpenID Connect provider to log in by, if any"
    )
    oidc_client_id: str = Field("", description="our name there")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="our secret there")
    oidc_scopes: str = Field(
        "openid email", description="what is asked for at login; some providers want `groups` too"
    )
    oidc_groups_claim: str = Field("groups", description="claim that names a person's groups")
    oidc_groups: str = Field(
        "",
        description="`group=role` with spaces between: who logs in has the roles of their groups "
        "and no others; empty: roles are given by hand",
    )

    @property
    def model_names(self) -> list[str]:
        return list(self.model_revisions)

    @property
    def model_revisions(self) -> dict[str, str]:
        """By name, in order; empty where it is not known, a task's name in older settings."""
        return {name: told for name, _, told in (m.partition("=") for m in self.models.split())}

    @property
    def roles_of_groups(self) -> dict[str, str]:
        """By group of the provider's."""
        pairs = (pair.rpartition("=") for pair in self.oidc_groups.split())
        return {group: role for group, _, role in pairs}

    @field_validator("oidc_groups")
    @classmethod
    def _roles_are_known(cls, text: str) -> str:
        for pair in text.split():
            group, _, role = pair.rpartition("=")
            if not group or role not in read_roles().roles:
                known = ", ".join(read_roles().roles)
                raise ValueError(f"{pair!r} is no group=role; roles are {known}")
        return text

    @model_validator(mode="after")
    def _production_is_complete(self) -> AccountsSettings:
        if self.development:
            return self
        if not self.smtp_host:
            raise ValueError(
                "VISION_SMTP_HOST is missing; only VISION_DEVELOPMENT=true prints mail in the log"
            )
        if not self.public_url.startswith("https://"):
            raise ValueError(
                "VISION_PUBLIC_URL must begin with https:// unless VISION_DEVELOPMENT=true"
            )
        if self.oidc_issuer and not self.oidc_client_secret.get_secret_value():
            raise ValueError("VISION_OIDC_ISSUER needs VISION_OIDC_CLIENT_SECRET")
        return self

"""Login by an outside provider: OpenID Connect Core 1.0, authorization code flow with PKCE."""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from accounts.errors import InvalidValueError
from accounts.people import same
from accounts.secret_tokens import new_token, token_hash
from accounts.settings import AccountsSettings

SECONDS = 5.0
LEEWAY_SECONDS = 60
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]

logger = logging.getLogger("accounts.oidc")


@dataclass(frozen=True)
class Challenge:
    """What a browser keeps while its person is at the provider's."""

    state: str
    nonce: str
    verifier: str

    def as_text(self) -> str:
        return ".".join((self.state, self.nonce, self.verifier))


@dataclass(frozen=True)
class Identity:
    """Attributes:
    subject: SHA-256 of issuer and subject.
    email: verified, as the provider says.
    groups: that the provider says the person is in.
    """

    subject: str
    email: str
    groups: tuple[str, ...]


def new_challenge() -> Challenge:
    return Challenge(new_token(), new_token(), new_token())


def read_challenge(text: str) -> Challenge:
    """Raises InvalidValueError if the browser has none."""
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise InvalidValueError("this login was begun in another browser, or too long ago")
    return Challenge(*parts)


class OpenIdProvider:
    """Talks to the provider of the settings.

    Args:
        redirect_url: our address that the provider sends people back to.
        transport: in place of the network, for tests.
    """

    def __init__(
        self,
        settings: AccountsSettings,
        redirect_url: str,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._client_id = settings.oidc_client_id
        self._secret = settings.oidc_client_secret.get_secret_value()
        self._redirect_url = redirect_url
        self._scopes = settings.oidc_scopes
        self._groups_claim = settings.oidc_groups_claim if settings.oidc_groups else ""
        self._http = httpx.Client(timeout=SECONDS, transport=transport)
        self._known: dict[str, Any] | None = None

    def address(self, challenge: Challenge) -> str:
        """Where to send a person to; raises InvalidValueError if the provider does not answer."""
        digest = hashlib.sha256(challenge.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_url,
            "scope": self._scopes,
            "state": challenge.state,
            "nonce": challenge.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{self._configuration()['authorization_endpoint']}?{urlencode(query)}"

    def identity(self, challenge: Challenge, state: str, code: str) -> Identity:
        """Who came back; raises InvalidValueError if that is not proven."""
        if not same(state, challenge.state) or not code:
            raise InvalidValueError("this login was begun in another browser, or was given up")
        claims = self._claims(self._id_token(code, challenge.verifier))
        if not same(str(claims.get("nonce", "")), challenge.nonce):
            raise InvalidValueError("the provider's answer belongs to another login")
        if claims.get("email_verified") is not True or not claims.get("email"):
            raise InvalidValueError("the provider names no verified mail address")
        subject = token_hash(f"{claims['iss']}|{claims['sub']}")
        return Identity(subject, str(claims["email"]), self._groups(claims))

    def _groups(self, claims: dict[str, Any]) -> tuple[str, ...]:
        if not self._groups_claim:
            return ()
        if self._groups_claim in claims.get("_claim_names", {}):
            # Entra leaves out more than 200 groups (OpenID Connect Core, 5.6.2); without them
            # somebody would silently lose every role.
            raise InvalidValueError("the provider names too many groups to read your roles from")
        given = claims.get(self._groups_claim, [])
        return tuple(map(str, given)) if isinstance(given, list) else (str(given),)

    def _configuration(self) -> dict[str, Any]:
        if self._known is None:
            found = self._ask("GET", f"{self._issuer}/.well-known/openid-configuration")
            if found.get("issuer", "").rstrip("/") != self._issuer:
                raise InvalidValueError("the provider says that it is another one")
            self._known = found
        return self._known

    def _id_token(self, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_url,
            "code_verifier": verifier,
        }
        # RFC 6749, 2.3.1: both are form-encoded before they go into the header.
        login = httpx.BasicAuth(quote(self._client_id, safe=""), quote(self._secret, safe=""))
        url = self._configuration()["token_endpoint"]
        return str(self._ask("POST", url, data=form, auth=login).get("id_token", ""))

    def _claims(self, token: str) -> dict[str, Any]:
        # Fetched at every login: providers change their keys.
        keys: Any = self._ask("GET", self._configuration()["jwks_uri"])
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._configuration()["issuer"]},
            aud={"essential": True, "value": self._client_id},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS)
            rules.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            logger.warning("an identity token is refused: %s", error)
            raise InvalidValueError("the provider's answer is not valid") from None
        claims = dict(decoded.claims)
        # Whom the token was made for, where it has several readers (OpenID Connect Core, 3.1.3.7).
        party, audience = claims.get("azp"), claims.get("aud")
        several = isinstance(audience, list) and len(audience) > 1
        if party != self._client_id and (several or party is not None):
            logger.warning("an identity token is refused: it was made for another client")
            raise InvalidValueError("the provider's answer is not valid")
        return claims

    def _ask(self, method: str, url: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, url, **arguments)
            answer.raise_for_status()
            document: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError):
            logger.exception("the provider does not answer")
            raise InvalidValueError("the provider does not answer; try again") from None
        return document

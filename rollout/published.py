"""The registry's part in a rollout: which revisions may be rolled out, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from artifact import ArtifactError
from artifact.address import Address
from common.settings import SettingError, read_settings, variable
from registry.connect import connect
from registry.entry import Action as RegistryAction
from registry.entry import Event
from registry.errors import NotFoundError, RegistryError
from registry.revisions import Registry
from registry.settings import RegistrySettings
from rollout.cards import Cards, Expected
from rollout.errors import RefusedError, UnreachableError
from rollout.record import STABLE, Entry, Record
from rollout.waiting import Say

S3 = "s3://"


class Published:
    """A registry beside the record of one InferenceService."""

    def __init__(self, registry: Registry, service: str, say: Say) -> None:
        self._registry = registry
        self._service = service
        self._say = say

    @classmethod
    def named(
        cls, environment: Mapping[str, str], service: str, by: str, say: Say
    ) -> Published | None:
        """The registry that the environment names; None where it names none.

        Raises:
            RefusedError: a setting is wrong.
            UnreachableError: the store cannot be opened.
        """
        if not environment.get(variable("registry")):
            return None
        try:
            settings = read_settings(RegistrySettings, environment)
            return cls(connect(settings, by), service, say)
        except SettingError as error:
            raise RefusedError(str(error)) from None
        except RegistryError as error:
            raise UnreachableError(str(error)) from None

    def admit(self, cards: Cards, model: str, revision: str) -> None:
        """See that a revision is in the registry, and that the card here is its card.

        Raises:
            RefusedError: it is not there, so nobody could go back to it, or it is another.
            UnreachableError: the registry cannot be read.
        """
        try:
            entry = self._registry.state().entry_of(model, revision)
        except NotFoundError as error:
            hint = f"`vision registry publish {model}/{revision}` puts it there"
            raise RefusedError(f"{error}; {hint}") from None
        except RegistryError as error:
            raise UnreachableError(str(error)) from None
        digest = cards.expected(model, revision).digest
        if digest and digest != entry.details["digest"]:
            raise RefusedError(
                f"{model}/{revision} is refused: its card has {digest}, but it was published as "
                f"{entry.details['digest']}"
            )

    def expected(self, model: str, revision: str) -> Expected | None:
        """A revision by its card in the registry; None where that does not have it.

        Raises:
            UnreachableError: the registry cannot be read.
        """
        try:
            entry = self._registry.state().entry_of(model, revision)
            card = self._registry.card(model, revision)
        except NotFoundError:
            return None
        except (RegistryError, ArtifactError) as error:
            raise UnreachableError(f"{model}/{revision} in the registry: {error}") from None
        return Expected(model, revision, entry.details["digest"], card)

    def address(self, has: str, model: str, revision: str) -> str:
        """Where a revision lies, for a pod that has one from ``has``.

        It is the registry's own place where both are S3; else the place beside the one it has: a
        claim, an image or another store with copies of what the registry keeps.
        """
        url = self._registry.url_of(model, revision)
        if url.startswith(S3) and has.startswith(S3):
            return url
        address = Address.read(has)
        return "" if address is None else address.of(revision)

    def bring_up(self, record: Record) -> None:
        """Write into the registry's history what is in the record and not yet there.

        What it cannot write now, it says, and the next command writes.
        """
        try:
            for event, origin in self._events(record):
                self._registry.record(event, origin)
        except RegistryError as error:
            self._say(f"the registry's history is behind, the next command brings it up: {error}")

    def _events(self, record: Record) -> Iterator[tuple[Event, str]]:
        held: Mapping[str, str] = {}
        for entry in record.history:
            for model, revision in self._about(entry, held).items():
                yield self._event(entry, model, revision), f"{entry.at} {entry.number}"
            if entry.action in STABLE:
                held = entry.models

    def _about(self, entry: Entry, held: Mapping[str, str]) -> dict[str, str]:
        """Revision by model that an entry is about: of a stable one, those that it changed."""
        if entry.action not in STABLE:
            return {entry.model: entry.revision} if entry.model else {}
        changed = {m: r for m, r in entry.models.items() if held.get(m) != r}
        return changed or ({entry.model: entry.revision} if entry.model else {})

    def _event(self, entry: Entry, model: str, revision: str) -> Event:
        details = {
            "service": self._service,
            "at": entry.at,
            "knative_revision": entry.knative_revision,
        }
        action = RegistryAction(entry.action.value)
        return Event(action, entry.by, model, revision, entry.why, details)

"""What the registry says is live here: `vision serve` starts with it, and takes what is promoted.

Beside a service that runs, `vision watch` promotes revisions by writing so into the registry's
history. The service looks there, fetches the revision, and starts its predictor anew with it.
"""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from artifact import ArtifactError, open_revision
from common.errors import StartError
from common.processes import say
from common.settings import read_settings
from local.service import LocalService
from registry.connect import connect
from registry.entry import Action, Event
from registry.errors import RegistryError
from registry.revisions import Registry
from registry.settings import RegistrySettings

LOCAL = "local"
"""The service that this is in the registry's history."""

SECONDS = 2.0
"""Between two looks."""


class Follower:
    """Of one registry.

    Args:
        root: folder of revisions, where those of the registry are put.
        pinned: models whose revision somebody has said.
    """

    def __init__(self, registry: Registry, root: Path, pinned: Collection[str]) -> None:
        self._registry = registry
        self._root = root
        self._pinned = pinned
        self._looked = 0.0
        self._said = ""

    @classmethod
    def named(cls, environment: Mapping[str, str], root: Path, pinned: Collection[str]) -> Follower:
        """Of the registry that the environment names.

        Raises:
            StartError: it cannot be opened.
        """
        by = f"{getpass.getuser()}@{socket.gethostname()}"
        try:
            settings = read_settings(RegistrySettings, environment)
            return cls(connect(settings, by), root, pinned)
        except (ValueError, RegistryError) as error:
            raise StartError(f"the registry cannot be opened: {error}") from None

    def live(self, models: Collection[str]) -> dict[str, str]:
        """The live revision of each of these models that the registry has one of, fetched.

        Raises:
            RegistryError: the registry or the revision cannot be read.
        """
        found = {
            time.model: time.revision
            for time in self._registry.state().live
            if time.service == LOCAL and not time.until and time.model in models
        }
        found = {model: r for model, r in found.items() if model not in self._pinned}
        for model, revision in found.items():
            self._registry.pull(model, revision, self._root)
        return found

    def look(self, service: LocalService) -> None:
        """Have a service hold what is live; at most once in ``SECONDS``."""
        if time.monotonic() < self._looked + SECONDS:
            return
        self._looked = time.monotonic()
        held = service.revisions
        try:
            live = self.live(held)
            changed = {m: r for m, r in live.items() if held[m] != r and self._fits(m, held[m], r)}
        except (RegistryError, ArtifactError, OSError) as error:
            self._say_once(f"the registry is not followed: {error}")
            return
        if not changed:
            return
        names = ", ".join(f"{model}/{revision}" for model, revision in changed.items())
        started = time.monotonic()
        try:
            service.take(changed)
        except StartError as error:
            say(f"{names} does not start, what ran before runs again: {error}")
            for model, revision in changed.items():
                self._take_back(model, revision, held[model], str(error))
            return
        say(f"{names} is live, after {time.monotonic() - started:.1f} s")

    def _fits(self, model: str, held: str, revision: str) -> bool:
        contracts = [
            open_revision(self._root, model, number).card.contract.digest
            for number in (held, revision)
        ]
        if contracts[0] != contracts[1]:
            self._say_once(f"{model}/{revision} has another contract: start the service anew")
        return contracts[0] == contracts[1]

    def _take_back(self, model: str, revision: str, before: str, why: str) -> None:
        event = Event(
            Action.ROLLED_BACK,
            self._registry.by,
            model,
            before,
            f"{model}/{revision} does not start: {why}",
            {"service": LOCAL},
        )
        try:
            self._registry.history.append(event)
        except RegistryError as error:
            self._say_once(f"the registry does not know that {model}/{before} is live: {error}")

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            say(text)

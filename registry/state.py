"""What the history adds up to: which revisions there are, what they are called, which was live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from registry.entry import Action, Entry
from registry.errors import NotFoundError

WAYS_BACK = 5
"""Revisions before the live one of a service that one can roll back to, and that are kept."""
LIVE = (Action.FOUND, Action.CHANGED, Action.PROMOTED, Action.ROLLED_BACK)
STABLE = "stable"
"""The alias that a promotion and a rollback move."""


@dataclass(frozen=True)
class Live:
    """A time in which a service answered with a revision; ``until`` is empty while it does."""

    service: str
    model: str
    revision: str
    since: str
    until: str
    why: str
    by: str


@dataclass
class State:
    """Of a registry after an entry.

    Attributes:
        published: entry by model and revision, retired ones included.
        retired: entry of those that are gone.
        aliases: revision by model and alias.
        live: every time of every service and model, in order.
    """

    published: dict[tuple[str, str], Entry] = field(default_factory=dict)
    retired: dict[tuple[str, str], Entry] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    live: list[Live] = field(default_factory=list)
    _open: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def after(cls, entries: Iterable[Entry]) -> State:
        state = cls()
        for entry in entries:
            state._take(entry)
        return state

    def _take(self, entry: Entry) -> None:
        key = (entry.model, entry.revision)
        if entry.action is Action.PUBLISHED:
            self.published[key] = entry
        elif entry.action is Action.RETIRED:
            self.retired[key] = entry
        elif entry.action is Action.ALIASED:
            self.aliases[entry.model, str(entry.details.get("alias", ""))] = entry.revision
        elif entry.action in LIVE:
            self._go_live(entry)
            self.aliases[entry.model, STABLE] = entry.revision

    def _go_live(self, entry: Entry) -> None:
        service = str(entry.details.get("service", ""))
        at = str(entry.details.get("at") or entry.at)
        before = self._open.get((service, entry.model))
        if before is not None:
            self.live[before] = replace(self.live[before], until=at)
        self._open[service, entry.model] = len(self.live)
        self.live.append(Live(service, entry.model, entry.revision, at, "", entry.why, entry.by))

    def entry_of(self, model: str, revision: str) -> Entry:
        """Of the publication of a revision that is still there.

        Raises:
            NotFoundError: it was never published, or is retired.
        """
        entry = self.published.get((model, revision))
        if entry is None:
            known = ", ".join(self.revisions(model)) or "none"
            raise NotFoundError(f"{model}/{revision} is not in the registry (revisions: {known})")
        if (model, revision) in self.retired:
            raise NotFoundError(f"{model}/{revision} is retired")
        return entry

    def resolve(self, model: str, selector: str) -> str:
        """A revision by its name, or by an alias.

        Raises:
            NotFoundError: there is neither.
        """
        if (model, selector) in self.aliases:
            return self.aliases[model, selector]
        self.entry_of(model, selector)
        return selector

    def models(self) -> list[str]:
        return sorted({model for model, _ in self.published})

    def revisions(self, model: str) -> list[str]:
        """Those that are not retired, in the order they were published."""
        return [r for m, r in self.published if m == model and (m, r) not in self.retired]

    def live_at(self, moment: str) -> list[Live]:
        """What each service answered with at a time, written as the history writes it."""
        return [t for t in self.live if t.since <= moment and (not t.until or moment < t.until)]

    def uses(self, model: str, revision: str) -> list[str]:
        """Why a revision must stay, a sentence each."""
        found = [
            f"it is called {alias}"
            for (m, alias), r in self.aliases.items()
            if (m, r) == (model, revision)
        ]
        for service in dict.fromkeys(t.service for t in self.live):
            times = [t for t in self.live if (t.service, t.model) == (service, model)]
            last = list(dict.fromkeys(t.revision for t in reversed(times)))
            if revision in last[:1]:
                found.append(f"{service or 'a service'} answers with it")
            elif revision in last[1 : WAYS_BACK + 1]:
                found.append(f"{service or 'a service'} can be rolled back to it")
        return found

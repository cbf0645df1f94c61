"""Which variant of an experiment a request is for: the same one for its subject each time.

Weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA
2005): every variant draws a number for the subject, and the best one has it. So no assignment is
stored, any number of checks agree, and a share that grows takes subjects from the others alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from accounts.experiments import CUSTOMER, KEY, ExperimentView, Variant, running
from edge.directory import MAX_AGE_SECONDS, REFRESH_SECONDS
from edge.ledger import Ledger, LedgerDownError
from edge.records import KeyRecord

_HEADER = "header:"
MAX_SUBJECT_CHARACTERS = 256

logger = logging.getLogger("edge.assignment")


@dataclass(frozen=True)
class Assignment:
    """Attributes:
    variant: None where the request only has a copy sent to the shadow.
    subject: hash of whom the experiment is sticky by.
    shadowed: whether a copy goes to the shadow.
    """

    experiment: str
    variant: Variant | None
    subject: str
    shadowed: bool = False


def draw(experiment: str, subject: str, name: str) -> float:
    """A number in (0, 1) that a name has for a subject, evenly spread and always the same."""
    digest = blake2b(f"{experiment}\0{name}\0{subject}".encode(), digest_size=8).digest()
    # 52 bits, and a half: as many as a float tells apart from 1.
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52


def choose(experiment: ExperimentView, subject: str) -> Variant | None:
    """The subject's variant; None where it does not take part."""
    # An empty name is no variant's.
    if draw(experiment.name, subject, "") * 100 >= experiment.percent:
        return None
    taken = [variant for variant in experiment.variants if variant.share]
    return max(
        taken,
        key=lambda variant: variant.share / -math.log(draw(experiment.name, subject, variant.name)),
    )


class Assignments:
    """The running experiments as the check knows them, by model; read anew all the time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._running: dict[str, ExperimentView] = {}
        self._read_at = -math.inf

    def find(
        self, model: str, record: KeyRecord, request_id: str, headers: Mapping[str, str]
    ) -> Assignment | None:
        """What a request takes part in; None where that is nothing.

        What was read too long ago is not used: a stopped experiment ends everywhere.
        """
        experiment = self._running.get(model)
        if experiment is None or time.monotonic() - self._read_at > MAX_AGE_SECONDS:
            return None
        shadow = experiment.shadow
        shadowed = shadow is not None and (
            draw(experiment.name, f"{record.account_id}/{request_id}", "shadow") * 100
            < shadow.percent
        )
        subject = _subject(experiment.sticky_by, record, headers)
        variant = choose(experiment, subject) if subject else None
        if variant is None and not shadowed:
            return None
        hashed = blake2b(subject.encode(), digest_size=8, key=experiment.name.encode()).hexdigest()
        return Assignment(experiment.name, variant, hashed, shadowed)

    async def keep_fresh(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self.refresh()
            except LedgerDownError:
                logger.warning("the experiments could not be read again")
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Raises LedgerDownError."""
        asked = time.monotonic()
        found = await self._ledger.read(running)
        self._running = {experiment.model: experiment for experiment in found}
        self._read_at = asked


def _subject(sticky_by: str, record: KeyRecord, headers: Mapping[str, str]) -> str:
    """Whom an experiment is sticky by; empty where the request does not say."""
    if sticky_by == CUSTOMER:
        return record.account_id
    if sticky_by == KEY:
        # A rotated key's successor is the same program.
        return record.family
    told = headers[sticky_by.removeprefix(_HEADER)]
    # Of different accounts' users the same name is not the same user.
    return f"{record.account_id}/{told[:MAX_SUBJECT_CHARACTERS]}" if told else ""

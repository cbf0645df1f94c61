"""``vision watch``: what arrives in the inbox becomes a better revision, or is refused.

Everything can be ended at any time and started again. ``--once`` looks once, takes every run as far
as it goes, and ends: that is what a cluster's jobs do.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import getpass
import os
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from artifact import ArtifactError
from common.mail import mailer_for
from common.processes import ROOT, interruptible, say
from common.settings import SettingError, read_settings
from lifecycle.clock import now
from lifecycle.errors import LifecycleError
from lifecycle.inbox import Inbox, Part, digest_of
from lifecycle.machine import Machine
from lifecycle.notices import Notices
from lifecycle.place import Place
from lifecycle.run import Arrival, run_id
from lifecycle.settings import LifecycleSettings
from lifecycle.step import APPROVABLE, Step
from lifecycle.works import works_of
from registry.connect import connect
from registry.errors import RegistryError

SECONDS = 2.0
"""Between two looks, and that a part must have been left alone for."""


INTERRUPTED = 130
"""Exit status of ``--once`` that was stopped."""


class Watch:
    """An inbox and the runs of what arrives there."""

    def __init__(self, place: Place, machine: Machine, settle_seconds: float) -> None:
        self._place = place
        self._machine = machine
        self._settle_seconds = settle_seconds
        self._said: dict[str, str] = {}

    def look(self) -> bool:
        """Begin a run of everything new, and take all open runs as far as they go.

        Returns:
            whether a run waits for something other than a person.
        """
        place = self._place
        for part in place.inbox.settled(self._settle_seconds):
            self._arrived(part)
        waits = False
        for run in place.runs.open():
            with _alone(place.work / f"{run.model}.lock") as is_alone:
                if not is_alone:
                    self._say_once(run.id, f"{run.id}: another process is at it")
                    continue
                try:
                    self._machine.advance(run.id)
                except (LifecycleError, ArtifactError, RegistryError) as error:
                    waits = True
                    self._say_once(run.id, f"{run.id}: waits: {error}")
        return waits

    def _arrived(self, part: Part) -> str:
        """The id of a part's run, which begins here if it has not yet."""
        place = self._place
        if id := place.runs.seen(part.mark):
            return id
        with contextlib.suppress(FileNotFoundError, LifecycleError):
            digest = digest_of(place.inbox.fetch(part.path, place.folder("arriving")))
            id = run_id(part.model, digest)
            arrival = Arrival(id, part.model, part.path, digest, now(), place.registry.by)
            if place.runs.start(arrival):
                place.say(f"{id}: {part.path} has arrived")
            else:
                place.say(f"{part.path} came before, as {id}: nothing to do")
            place.runs.note_seen(part.mark, id)
        return id

    def _say_once(self, id: str, text: str) -> None:
        if self._said.get(id) != text:
            self._said[id] = text
            self._place.say(text)


def main(arguments: list[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    variables = dict(os.environ if environment is None else environment)
    if options.folder:
        variables["VISION_LIFECYCLE_INBOX"] = options.folder
    try:
        settings = read_settings(LifecycleSettings, variables)
        by = options.by or f"{getpass.getuser()}@{socket.gethostname()}"
        steps = [Step(name) for name in options.steps.split(",")]
        watch, place = open_watch(
            settings, by, options.models, options.scratch, options.seconds, steps
        )
        say(f"watching {place.inbox.url}/<model>/ for parts; registry {place.registry.store.url}")
        with interruptible():
            while True:
                waits = watch.look()
                if options.once:
                    return int(waits)
                time.sleep(options.seconds)
    except (LifecycleError, ArtifactError, RegistryError) as error:
        print(f"watch: {error}", file=sys.stderr)
        return int(getattr(error, "status", 1))
    except SettingError as error:
        print(f"watch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("\nstopped; the same command goes on where this one was")
        # A Job whose pod is evicted must not pass for one that is done.
        return INTERRUPTED if options.once else 0


def open_watch(
    settings: LifecycleSettings,
    by: str,
    models: Path,
    work: Path,
    seconds: float,
    steps: Collection[Step] = APPROVABLE,
) -> tuple[Watch, Place]:
    """Of the registry and the inbox that the settings name, both made where they are folders."""
    registry = connect(settings, by)
    registry.store.set_up()
    inbox = Inbox(settings.lifecycle_inbox)
    work.mkdir(parents=True, exist_ok=True)
    place = Place(registry, settings, inbox, models, work, say)
    notices = Notices(settings.webhooks, settings.receivers, mailer_for(settings), say)
    return Watch(place, Machine(place, works_of(place.service, steps), notices), seconds), place


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process of this machine is inside."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _steps(text: str) -> str:
    known = [step.value for step in APPROVABLE]
    if unknown := sorted(set(text.split(",")) - set(known)):
        raise argparse.ArgumentTypeError(f"{unknown[0]} is no step: {', '.join(known)}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision watch", description=__doc__)
    parser.add_argument("--once", action="store_true", help="look once, and end when all is done")
    parser.add_argument("--folder", default="", help="the inbox (VISION_LIFECYCLE_INBOX; inbox)")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    # None may begin like one of KServe's (`--workers`), which reads the command line when imported.
    parser.add_argument(
        "--scratch", type=Path, default=ROOT / "build" / "lifecycle", help="checkpoints, downloads"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"between two looks ({SECONDS:g})"
    )
    parser.add_argument(
        "--steps",
        type=_steps,
        default=",".join(step.value for step in APPROVABLE),
        help="that this process does, comma-separated (all); others are left to others",
    )
    parser.add_argument("--by", default="", help="who is named in the history")
    return parser


if __name__ == "__main__":
    sys.exit(main())

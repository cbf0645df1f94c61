"""Runs in the store.

```
lifecycle/runs/<id>/arrival.json              what arrived, when
lifecycle/runs/<id>/checked.json, …           the result of each step
lifecycle/runs/<id>/evaluated-<revision>.json compared with what was live then
lifecycle/runs/<id>/awaits-<step>.json        a person is waited for
lifecycle/runs/<id>/decision-<step>.json      what the person said
lifecycle/runs/<id>/failure-<step>-<n>.json   what a step ended by, before it was done again
lifecycle/runs/<id>/evaluation-<revision>.md  the same for people
lifecycle/runs/<id>/told-….json               people were told
lifecycle/runs/<id>/ended.json                all is written down and told
lifecycle/seen/<mark>                         the run of something in the inbox
lifecycle/numbers/<model>/<revision>          which run has a revision's number
lifecycle/files/<digest>                      of revisions that may be published
```

Objects are created and never changed: of two processes at the same step, the first one's result
counts, and the other one goes on with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container, Iterator

from artifact import sha256_of
from lifecycle.clock import now
from lifecycle.errors import DecisionError, NoSuchRunError
from lifecycle.run import Arrival, Run
from lifecycle.step import APPROVABLE, Decision, Result, Step
from registry.errors import DamagedError, ExistsError, NotFoundError
from registry.objects import ObjectStore

FOLDER = "lifecycle"
RUNS, NUMBERS, FILES = f"{FOLDER}/runs", f"{FOLDER}/numbers", f"{FOLDER}/files"
SEEN = f"{FOLDER}/seen"
ARRIVAL, ENDED = "arrival.json", "ended.json"
MOST_NUMBERS = 10_000


class Runs:
    """Of one store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def start(self, arrival: Arrival) -> bool:
        """Have a run; False where there is one of that id, which stays as it is."""
        return self._create(f"{RUNS}/{arrival.id}/{ARRIVAL}", arrival.to_json())

    def read(self, id: str) -> Run:
        """Raises NoSuchRunError: there is none; tells of those there are."""
        folder = f"{RUNS}/{id}/"
        keys = [key.removeprefix(folder) for key in self._store.keys(folder)]
        if ARRIVAL not in keys:
            known = ", ".join(sorted(self.ids())) or "none"
            raise NoSuchRunError(f"there is no run {id}; there are: {known}")
        return self._read(folder, keys)

    def ids(self) -> list[str]:
        return list(self._listed())

    def all(self) -> list[Run]:
        """In the order they arrived."""
        found = [self._read(f"{RUNS}/{id}/", names) for id, names in self._listed().items()]
        return sorted(found, key=lambda run: (run.arrival.at, run.id))

    def open(self) -> list[Run]:
        """Those that have not ended, in the order they arrived; ended ones are not read."""
        listed = self._listed().items()
        found = [self._read(f"{RUNS}/{id}/", names) for id, names in listed if ENDED not in names]
        return sorted(found, key=lambda run: (run.arrival.at, run.id))

    def finish(self, run: Run, result: Result) -> None:
        """Write down what a step left; nothing happens where somebody else did."""
        name = result.step.value
        if result.step is Step.EVALUATED:
            name = f"{name}-{result.against}"
        self._create(f"{RUNS}/{run.id}/{name}.json", result.to_json())

    def failed(self, run: Run, step: Step, message: str) -> int:
        """Write down why a step has to be done again; returns how often it had to be by now."""
        number = len(run.failures.get(step, [])) + 1
        data = json.dumps({"message": message, "at": now()}, ensure_ascii=False).encode()
        self._create(f"{RUNS}/{run.id}/failure-{step.value}-{number}.json", data)
        return number

    def end(self, run: Run) -> None:
        self._create(f"{RUNS}/{run.id}/{ENDED}", b"{}")

    def seen(self, mark: str) -> str:
        """The run of something in the inbox that was looked at before; empty where none is."""
        try:
            return self._store.read(f"{SEEN}/{mark}").data.decode()
        except NotFoundError:
            return ""

    def note_seen(self, mark: str, id: str) -> None:
        self._create(f"{SEEN}/{mark}", id.encode())

    def keep_report(self, run: Run, name: str, text: str) -> None:
        self._create(f"{RUNS}/{run.id}/{name}", text.encode())

    def reports(self, run: Run) -> dict[str, str]:
        """What was written for people, by name."""
        folder = f"{RUNS}/{run.id}/"
        keys = [key for key in self._store.keys(folder) if key.endswith(".md")]
        return {key.removeprefix(folder): self._store.read(key).data.decode() for key in keys}

    def told(self, run: Run, what: str) -> bool:
        """Whether it was noted that people were told of something."""
        try:
            self._store.read(f"{RUNS}/{run.id}/told-{what}.json")
        except NotFoundError:
            return False
        return True

    def note_told(self, run: Run, what: str) -> None:
        self._create(f"{RUNS}/{run.id}/told-{what}.json", json.dumps({"at": now()}).encode())

    def wait(self, run: Run, step: Step) -> None:
        """Write down that a person is waited for before a step."""
        self._create(f"{RUNS}/{run.id}/awaits-{step.value}.json", b"{}")

    def decide(self, run: Run, decision: Decision) -> None:
        """A person's word, which stays.

        Raises:
            DecisionError: somebody has said otherwise.
        """
        key = f"{RUNS}/{run.id}/decision-{decision.step.value}.json"
        if self._create(key, decision.to_json()):
            return
        other = Decision.from_json(self._store.read(key).data, key)
        if (other.verdict, other.by) != (decision.verdict, decision.by):
            raise DecisionError(
                f"{run.id}: {decision.step.value} was {other.verdict.value} by {other.by} "
                f"on {other.at} already"
            )

    def number_for(self, run: Run, least: int, unusable: Container[str] = ()) -> str:
        """A revision's number that no other run has; the same one whenever it is asked for.

        Args:
            least: the first that may be given.
            unusable: numbers that others have used since.
        """
        folder, own = f"{NUMBERS}/{run.model}/", run.id.encode()
        for key in self._store.keys(folder):
            number = key.removeprefix(folder)
            if number not in unusable and self._store.read(key).data == own:
                return number
        for number in map(str, range(least, least + MOST_NUMBERS)):
            if number not in unusable and self._create(f"{folder}{number}", own):
                return number
        raise AssertionError("unreachable")

    def keep_file(self, data: bytes) -> str:
        """Put a file into the store; returns its digest, which it is found by."""
        digest = sha256_of(data)
        self._create(f"{FILES}/{_hex(digest)}", data)
        return digest

    def file(self, digest: str) -> bytes:
        """Raises DamagedError: it is missing, or another one."""
        try:
            data = self._store.read(f"{FILES}/{_hex(digest)}").data
        except NotFoundError:
            raise DamagedError(f"{self._store.url}: the file {digest} is missing") from None
        if sha256_of(data) != digest:
            raise DamagedError(f"{self._store.url}: the file {digest} has been changed")
        return data

    def _listed(self) -> dict[str, list[str]]:
        """Names of its objects by run, of runs whose arrival is written down."""
        found: dict[str, list[str]] = {}
        for key in self._store.keys(f"{RUNS}/"):
            id, _, name = key.removeprefix(f"{RUNS}/").partition("/")
            found.setdefault(id, []).append(name)
        return {id: names for id, names in found.items() if ARRIVAL in names}

    def _read(self, folder: str, names: list[str]) -> Run:
        def data(name: str) -> bytes:
            return self._store.read(folder + name).data

        arrival = Arrival.from_json(data(ARRIVAL), folder + ARRIVAL)
        results: dict[Step, Result] = {}
        evaluations: dict[str, Result] = {}
        decisions: dict[Step, Decision] = {}
        failures: dict[Step, list[str]] = {}
        awaited: list[Step] = []
        for name, step, kind in _parsed(names):
            if kind == "decision":
                decisions[step] = Decision.from_json(data(name), folder + name)
            elif kind == "awaits":
                awaited.append(step)
            elif kind == "failure":
                failures.setdefault(step, []).append(json.loads(data(name))["message"])
            else:
                result = Result.from_json(data(name), folder + name)
                if step is Step.EVALUATED:
                    evaluations[result.against] = result
                    if step in results and results[step].at > result.at:
                        continue
                results[step] = result
        return Run(arrival, results, evaluations, decisions, failures, awaited, ENDED in names)

    def _create(self, key: str, data: bytes) -> bool:
        with contextlib.suppress(ExistsError):
            self._store.create(key, data)
            return True
        return False


def _parsed(names: list[str]) -> Iterator[tuple[str, Step, str]]:
    """Name, step and kind (decision, awaits, failure or result) of a run's objects."""
    for name in sorted(names):
        stem = name.removesuffix(".json")
        for step in APPROVABLE:
            if stem in (f"decision-{step.value}", f"awaits-{step.value}"):
                yield name, step, stem.partition("-")[0]
            elif stem.startswith(f"failure-{step.value}-"):
                yield name, step, "failure"
            elif stem == step.value or (
                step is Step.EVALUATED and stem.startswith(f"{step.value}-")
            ):
                yield name, step, "result"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")

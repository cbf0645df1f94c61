"""One or two Knative services in a row, second by second: pods, queues, and what is refused.

Requests are a flow, not one by one, so that a day of a million a second takes as long as one of
ten. A tenth of a second at a time: what came, what the pods that are ready could work off, and what
waits in the activator. The transformer has a request in progress for as long as the predictor has
it, and the predictor's first pod is asked for when a transformer's is ready, as on a cluster.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.capacity.autoscaler import Autoscaler, Settings

STEP = 0.1
"""Seconds."""
A_SECOND = round(1 / STEP)
TINY = 1e-9
BREAKER = 10_000
"""Requests that Knative's activator holds for a revision; more are a 503."""


@dataclass(frozen=True)
class Kind:
    """One Knative service.

    Attributes:
        per_second: requests that one pod answers, at most.
        seconds: that a request takes where nothing waits.
        start: seconds from a pod that is wanted to one that is ready, on a node with its image.
        millicpu: requested by a pod, with its queue-proxy.
    """

    name: str
    per_second: float
    seconds: float
    start: float
    millicpu: int
    settings: Settings = Settings()


@dataclass
class Stage:
    """A Knative service's pods and what waits in front of them."""

    kind: Kind
    autoscaler: Autoscaler = field(init=False)
    ready_at: list[float] = field(default_factory=list)
    waiting: deque[tuple[float, float]] = field(default_factory=deque)
    backlog: float = 0.0
    in_service: float = 0.0

    def __post_init__(self) -> None:
        self.autoscaler = Autoscaler(self.kind.settings)

    def ready(self, now: float) -> int:
        return sum(at <= now for at in self.ready_at)

    def scale(self, now: float, wanted: int, room: Callable[[int], float]) -> None:
        """``room``: seconds until a node has room for one more pod."""
        while len(self.ready_at) > wanted:
            self.ready_at.remove(max(self.ready_at))
        while len(self.ready_at) < wanted:
            self.ready_at.append(now + room(self.kind.millicpu) + self.kind.start)


@dataclass(frozen=True)
class Nodes:
    """Nodes of one kind.

    Attributes:
        millicpu: that pods of the service may have on one.
        start: seconds until a new one takes pods.
        minimum: that are always there.
        keep: seconds that one stays which nobody needs.
    """

    millicpu: int = 3500
    start: float = 60.0
    minimum: int = 1
    keep: float = 600.0


@dataclass
class Outcome:
    """What became of a trace.

    Attributes:
        woken: requests that found no pod, or waited for a first one.
        refused: 503 by the activator, whose queue was full, or after ``timeout``.
        waits: (seconds, requests) that had to wait at all.
        pod_seconds, node_seconds: by what a bill is made.
        pods: (second, pods by service, nodes), a point a second.
    """

    requests: float = 0.0
    woken: float = 0.0
    refused: float = 0.0
    waits: list[tuple[float, float]] = field(default_factory=list)
    pod_seconds: dict[str, float] = field(default_factory=dict)
    node_seconds: float = 0.0
    pods: list[tuple[float, tuple[int, ...], int]] = field(default_factory=list)

    def wait(self, q: float) -> float:
        """Quantile over what was answered of the seconds that it waited for a pod."""
        rest = (1 - q) * (self.requests - self.refused)
        for seconds, amount in sorted(self.waits, reverse=True):
            rest -= amount
            if rest < 0:
                return seconds
        return 0.0


def simulate(
    kinds: Sequence[Kind],
    arrivals: Iterable[float],
    nodes: Nodes | None = None,
    timeout: float = 60.0,
    rest: float = 0.0,
) -> Outcome:
    """Send a trace to a service that begins with what its settings keep.

    Args:
        kinds: in the order that a request passes them.
        arrivals: requests in each ``STEP``.
        nodes: of which the pods are; None: there is room.
        timeout: seconds after which a request that waits is refused.
        rest: seconds to go on when the trace has ended.
    """
    found = Outcome(pod_seconds={kind.name: 0.0 for kind in kinds})
    stages = [Stage(kind) for kind in kinds]
    for stage in stages:
        stage.ready_at = [-math.inf] * stage.kind.settings.minimum
    pool = _Pool(nodes)
    seconds = [0.0 for _ in stages]
    tick = round(stages[0].kind.settings.tick / STEP)
    for number, came in enumerate([*map(float, arrivals), *[0.0] * round(rest / STEP)]):
        now = number * STEP
        found.requests += came
        if came and not stages[0].ready(now):
            found.woken += came
        for index, stage in enumerate(stages):
            came = _pass(stage, now, came, timeout, found)
            seconds[index] += stage.backlog * STEP + stage.in_service * STEP
        # A request is in progress in front for as long as it is further on.
        for index in range(len(stages) - 1, 0, -1):
            seconds[index - 1] += (stages[index].backlog + stages[index].in_service) * STEP
        for stage in stages:
            # The activator asks for the first pod at once.
            if not stage.ready_at and stage.backlog:
                stage.scale(now, 1, pool.room(stages, now))
        if number % A_SECOND == A_SECOND - 1:
            for index, stage in enumerate(stages):
                stage.autoscaler.record(now, seconds[index])
                seconds[index] = 0.0
        if number % tick == 0 and number:
            for stage in stages:
                wanted = stage.autoscaler.decide(now, stage.ready(now))
                if stage.ready_at and not stage.ready(now):
                    # The first pod of a wake is not given up before it is ready.
                    wanted = max(wanted, len(stage.ready_at))
                stage.scale(now, wanted, pool.room(stages, now))
        if number % A_SECOND == 0:
            pool.settle(stages, now)
            for stage in stages:
                found.pod_seconds[stage.kind.name] += len(stage.ready_at)
            found.node_seconds += pool.count
            found.pods.append((now, tuple(stage.ready(now) for stage in stages), pool.count))
    return found


def _pass(stage: Stage, now: float, came: float, timeout: float, found: Outcome) -> float:
    """What a stage answers in this step, of what waits and what came."""
    waiting, ready = stage.waiting, stage.ready(now)
    if came:
        waiting.append((now, came))
    able = ready * stage.kind.per_second * STEP
    done = refused = 0.0
    while waiting and now - waiting[0][0] > timeout:
        refused += waiting.popleft()[1]
    while waiting and able - done > TINY:
        at, amount = waiting.popleft()
        part = min(amount, able - done)
        done += part
        if now - at > STEP:
            found.waits.append((now - at, part))
        if amount - part > TINY:
            waiting.appendleft((at, amount - part))
    stage.backlog += came - done - refused
    over = stage.backlog - BREAKER - ready * stage.kind.settings.container_concurrency
    while over > TINY:
        # Those that came last find the queue full.
        at, amount = waiting.pop()
        part = min(amount, over)
        over -= part
        refused += part
        stage.backlog -= part
        if amount - part > TINY:
            waiting.append((at, amount - part))
    if not waiting:
        stage.backlog = 0.0
    found.refused += refused
    # Where pods are busy a request takes longer: as in a queue of random arrivals.
    load = min(0.95, done / able) if able else 0.0
    stage.in_service = done / STEP * stage.kind.seconds / (1 - load) if done else 0.0
    return done


class _Pool:
    """Nodes that come when pods find no room, and go when nobody has needed them for long."""

    def __init__(self, nodes: Nodes | None) -> None:
        self._nodes = nodes
        self.count = nodes.minimum if nodes else 0
        self._spare_since: float | None = None
        self._coming: list[float] = []

    def room(self, stages: Sequence[Stage], now: float) -> Callable[[int], float]:
        nodes = self._nodes
        if nodes is None:
            return lambda _: 0.0

        def wait(millicpu: int) -> float:
            used = sum(len(stage.ready_at) * stage.kind.millicpu for stage in stages)
            needed = math.ceil((used + millicpu) / nodes.millicpu)
            while self.count < needed:
                self.count += 1
                self._coming.append(now + nodes.start)
            on_new = needed - (self.count - len(self._coming))
            return self._coming[on_new - 1] - now if 0 < on_new <= len(self._coming) else 0.0

        return wait

    def settle(self, stages: Sequence[Stage], now: float) -> None:
        if self._nodes is None:
            return
        self._coming = [at for at in self._coming if at > now]
        used = sum(len(stage.ready_at) * stage.kind.millicpu for stage in stages)
        needed = max(self._nodes.minimum, math.ceil(used / self._nodes.millicpu))
        if self.count <= needed:
            self._spare_since = None
        elif self._spare_since is None:
            self._spare_since = now
        elif now - self._spare_since >= self._nodes.keep and not self._coming:
            self.count, self._spare_since = needed, None

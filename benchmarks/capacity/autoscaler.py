"""Knative's autoscaler (KPA), as its source decides: github.com/knative/serving, pkg/autoscaler.

``autoscaler/scaling/autoscaler.go`` (windows, panic), ``reconciler/autoscaling/kpa/scaler.go`` (to
zero), ``autoscaler/aggregation`` (averages), ``resources.ResolveMetricTarget`` (the target).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Of config-autoscaler and of one revision; the defaults are Knative's and the manifests'.

    Attributes:
        target: requests in progress a pod (``scaleTarget``).
        utilization: of the target, what is aimed at.
        container_concurrency: requests that a pod is given at once.
        minimum, maximum: pods (``minReplicas``, ``maxReplicas``).
        initial: pods of a revision that has just been made.
        window: seconds of the stable average; the panic average is of ``panic_share`` of it.
        panic_threshold: how many times what there is must be wanted for a panic.
        grace: seconds between the decision for zero and the last pod's end.
        tick: seconds between decisions.
    """

    target: float = 32.0
    utilization: float = 0.7
    container_concurrency: float = 64.0
    minimum: int = 0
    maximum: int = 4
    initial: int = 1
    window: float = 60.0
    panic_share: float = 0.1
    panic_threshold: float = 2.0
    max_scale_up: float = 1000.0
    max_scale_down: float = 2.0
    grace: float = 30.0
    tick: float = 2.0

    @property
    def aim(self) -> float:
        """Requests in progress a pod that the autoscaler divides by."""
        return min(self.target, self.container_concurrency) * self.utilization


class Autoscaler:
    """Decides how many pods are wanted, from what was in progress second by second."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # (second, mean in progress) of the seconds that the stable window holds.
        self._seconds: deque[tuple[float, float]] = deque()
        self._began = math.inf
        self._panic_since: float | None = None
        self._panic_pods = 0
        self._idle_since: float | None = None

    def record(self, second: float, in_progress: float) -> None:
        """What was in progress in the second that begins at ``second``."""
        self._began = min(self._began, second)
        self._seconds.append((second, in_progress))
        while self._seconds and self._seconds[0][0] <= second - self._settings.window:
            self._seconds.popleft()

    def decide(self, now: float, ready: int) -> int:
        """Pods wanted now, with ``ready`` of them there."""
        s = self._settings
        there = max(1, ready)
        most, least = math.ceil(s.max_scale_up * there), math.floor(there / s.max_scale_down)
        stable, panic = self._average(now, s.window), self._average(now, s.window * s.panic_share)
        by_stable = min(max(math.ceil(stable / s.aim), least), most)
        by_panic = min(max(math.ceil(panic / s.aim), least), most)
        if math.ceil(panic / s.aim) / there >= s.panic_threshold:
            self._panic_since = now
        elif self._panic_since is not None and self._panic_since + s.window < now:
            self._panic_since, self._panic_pods = None, 0
        wanted = by_stable
        if self._panic_since is not None:
            # Never fewer than at any time of this panic.
            self._panic_pods = max(self._panic_pods, by_stable, by_panic)
            wanted = self._panic_pods
        if s.maximum:
            wanted = min(wanted, s.maximum)
        return self._to_zero(now, max(wanted, s.minimum), ready)

    def _to_zero(self, now: float, wanted: int, ready: int) -> int:
        """The last pod stays until nothing came for the grace, too: the activator takes over."""
        if wanted or not ready:
            self._idle_since = None
            return wanted
        if self._idle_since is None:
            self._idle_since = now
        return 0 if now >= self._idle_since + self._settings.grace else 1

    def _average(self, now: float, window: float) -> float:
        """Over the window, or over what there is of it."""
        length = min(window, max(1.0, now - self._began))
        return sum(v for second, v in self._seconds if second >= now - window) / length

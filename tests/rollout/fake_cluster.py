"""An API server with KServe's and Knative's controllers behind it, as far as a rollout sees them.

The controllers are state machines written after the Go code (KServe master aaac4e29
``ksvc_reconciler.go`` and ``inference_service_status.go``; Knative Serving ``service.go``,
``configuration.go``, ``route.go``, ``revision/reconcile_resources.go``). They move only when
``tick`` is called, one pass of each, so that every state in between can be looked at.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from artifact import open_revision
from tests.rollout.loopback import QuietHandler, served

Document = dict[str, Any]
Key = tuple[str, str]

NAMESPACE = "vision"
SERVICE = "vision"
PREDICTOR = "vision-predictor"
STORAGE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"


@dataclass
class Behaviour:
    """What pods of a template do.

    Attributes:
        kind: ``start``, ``crash``, ``pull``, ``hang``, ``unschedulable``.
        ticks: passes until it is so.
        log: the container's output.
        digest: answered in place of the card's.
        revision: answered in place of the argument's.
    """

    kind: str = "start"
    ticks: int = 2
    log: str = ""
    digest: str = ""
    revision: str = ""


@dataclass
class Store:
    """Objects by plural and name, with one counter of resource versions."""

    objects: dict[Key, Document] = field(default_factory=dict)
    version: int = 100

    def put(self, plural: str, document: Document, status: bool = False) -> Document:
        """Store spec (or, with ``status``, the status alone), as the API server does."""
        name = document["metadata"]["name"]
        old = self.objects.get((plural, name))
        new = copied(document)
        if old is None:
            new["metadata"].setdefault("generation", 1)
            new["metadata"].setdefault("uid", f"uid-{self.version}")
            if plural != "pods":
                new.pop("status", None)
        elif status:
            new = copied(old)
            new["status"] = copied(document.get("status") or {})
        else:
            if plural != "pods":
                new["status"] = old.get("status") or {}
            moved = old.get("spec") != new.get("spec")
            new["metadata"]["generation"] = old["metadata"]["generation"] + moved
        if old is not None and {**old, "metadata": _bare(old)} == {**new, "metadata": _bare(new)}:
            return copied(old)
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self.objects[plural, name] = new
        return copied(new)

    def get(self, plural: str, name: str) -> Document | None:
        found = self.objects.get((plural, name))
        return copied(found)

    def all(self, plural: str) -> list[Document]:
        return [copied(d) for (p, _), d in sorted(self.objects.items()) if p == plural]


class FakeCluster:
    """The store, the controllers and what tests turn.

    Args:
        uri: of one pod that serves what lies there, in place of two services of ``models``.

    Attributes:
        route_first: Knative reconciles the Route before the Configuration, as it may.
        behaviours: by predictor argument such as ``--model=mnist=2``, or by image.
        writes: every write that was accepted: method, plural, name.
        asked: resource, verb and name of every request, as a Role names them; lists and what is
            created have no name.
        before_write: called with method, plural, name before a write is looked at.
    """

    def __init__(self, models: dict[str, str], cards: Path, uri: str = "") -> None:
        self.store = Store()
        self.cards = cards
        self.route_first = False
        self.paused: set[str] = set()
        self.behaviours: dict[str, Behaviour] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.asked: set[tuple[str, str, str]] = set()
        self.authorization = ""
        self.before_write: Callable[[str, str, str], None] = lambda *_: None
        self.job_result: Callable[[Document], str] = lambda _job: "{}"
        self.metrics: dict[str, str] = {}
        self.ages: dict[str, int] = {}
        self.splits: list[dict[str, int]] = []
        self.lock = threading.RLock()
        self.store.put("inferenceservices", one_pod(uri) if uri else inference_service(models))
        for _ in range(10):
            self.tick()

    # What tests read.

    @property
    def service(self) -> Document:
        found = self.store.get("inferenceservices", SERVICE)
        assert found is not None
        return found

    @property
    def predictor_status(self) -> Document:
        status: Document = self.service["status"]["components"]["predictor"]
        return status

    @property
    def split(self) -> dict[str, int]:
        """Per cent by Knative revision, as the gateway has it."""
        route = self.store.get("knative/routes", PREDICTOR)
        assert route is not None
        return _shares(route.get("status", {}).get("traffic", []))

    def models_of(self, revision: str) -> dict[str, str]:
        found = self.store.get("knative/revisions", revision)
        assert found is not None
        return _held(found)

    def tagged(self, host: str) -> str:
        """The Knative revision that a host leads to by its tag; empty for a host without."""
        route = self.store.get("knative/routes", PREDICTOR) or {}
        for target in route.get("status", {}).get("traffic", []):
            if target.get("url") == f"http://{host}":
                return str(target["revisionName"])
        return ""

    def served(self) -> dict[tuple[str, ...], int]:
        """Per cent by what the predictor's pods hold, for all that has traffic."""
        found: dict[tuple[str, ...], int] = {}
        for revision, percent in self.split.items():
            if percent:
                held = tuple(f"{m}/{r}" for m, r in self.models_of(revision).items())
                found[held] = found.get(held, 0) + percent
        return found

    def record(self) -> Document:
        found = self.store.get("configmaps", f"{SERVICE}-rollout")
        return {} if found is None else {k: json.loads(v) for k, v in found["data"].items()}

    def edit_spec(self, change: Callable[[Document], None]) -> None:
        """Somebody else's change of the InferenceService's spec."""
        document = self.service
        change(document["spec"])
        self.store.put("inferenceservices", document)

    def scale_to_zero(self, revision: str) -> None:
        self.store.objects.pop(("pods", f"{revision}-pod"), None)

    # The controllers.

    def tick(self) -> None:
        """One pass of every controller."""
        with self.lock:
            order = [self._kserve, self._service, self._configuration, self._route]
            if self.route_first:
                order = [self._kserve, self._service, self._route, self._service, self._kserve]
                order.append(self._configuration)
            for controller in order:
                if controller.__name__ not in self.paused:
                    controller()
            for revision in self.store.all("knative/revisions"):
                self._revision(revision)
            for job in self.store.all("jobs"):
                self._job(job)
            if self.store.get("knative/routes", PREDICTOR):
                self.splits.append(self.split)

    def _kserve(self) -> None:
        """``createKnativeService`` and ``PropagateStatus``."""
        service = self.service
        spec = service["spec"]["predictor"]
        component = ((service.get("status") or {}).get("components") or {}).get("predictor", {})
        percent = spec.get("canaryTrafficPercent")
        rolled_out = component.get("latestRolledoutRevision", "")
        tagged = service["metadata"]["annotations"].get("serving.kserve.io/enable-tag-routing")
        latest: Document = {"latestRevision": True, "percent": 100}
        if tagged == "true":
            latest["tag"] = "latest"
        traffic = [latest]
        if percent is not None and rolled_out:
            latest["percent"] = percent
            if percent < 100:
                traffic.append(
                    {
                        "revisionName": rolled_out,
                        "latestRevision": False,
                        "percent": 100 - percent,
                        "tag": "prev",
                    }
                )
        template = template_of(spec)
        template["spec"]["containers"][0].setdefault("env", []).append(
            {"name": "INFERENCE_SERVICE_NAME", "value": SERVICE}
        )
        desired = {
            "metadata": {"name": PREDICTOR},
            "spec": {"template": template, "traffic": traffic},
        }
        existing = self.store.get("knative/services", PREDICTOR)
        seen = (existing or {}).get("status") or {}
        self._apply("knative/services", desired)
        status = {**(service.get("status") or {}), "components": {}}
        status["components"]["predictor"] = _propagate(component, seen)
        # KServe copies the Knative Service's, which says nothing of its own spec.
        status["observedGeneration"] = seen.get("observedGeneration")
        component = "transformer" if "transformer" in service["spec"] else "predictor"
        status["url"] = f"http://{SERVICE}-{component}.{NAMESPACE}.example.com"
        status["deploymentMode"] = "Knative"
        self.store.put("inferenceservices", {**service, "status": status}, status=True)

    def _service(self) -> None:
        service = self.store.get("knative/services", PREDICTOR)
        if service is None:
            return
        template = {"metadata": {"name": PREDICTOR}, "spec": {"template": {}}}
        template["spec"]["template"] = service["spec"]["template"]
        config = self._apply("knative/configurations", template)
        status = service.get("status") or {}
        if config.get("status", {}).get("observedGeneration") == config["metadata"]["generation"]:
            for field_ in ("latestCreatedRevisionName", "latestReadyRevisionName"):
                if field_ in config["status"]:
                    status[field_] = config["status"][field_]
        traffic = [
            {**t, "configurationName": PREDICTOR} if t["latestRevision"] else dict(t)
            for t in service["spec"]["traffic"]
        ]
        route = self._apply(
            "knative/routes", {"metadata": {"name": PREDICTOR}, "spec": {"traffic": traffic}}
        )
        if route.get("status", {}).get("observedGeneration") == route["metadata"]["generation"]:
            status["traffic"] = route["status"].get("traffic", [])
        status["observedGeneration"] = service["metadata"]["generation"]
        self.store.put("knative/services", {**service, "status": status}, status=True)

    def _configuration(self) -> None:
        config = self.store.get("knative/configurations", PREDICTOR)
        if config is None:
            return
        generation = config["metadata"]["generation"]
        name = f"{PREDICTOR}-{generation:05d}"
        if self.store.get("knative/revisions", name) is None:
            self.store.put(
                "knative/revisions",
                {
                    "metadata": {
                        **config["spec"]["template"].get("metadata", {}),
                        "name": name,
                        "creationTimestamp": "2026-01-02T03:04:05Z",
                    },
                    "spec": copied(config["spec"]["template"]["spec"]),
                },
            )
        status = config.get("status") or {}
        status["latestCreatedRevisionName"] = name
        ready = [
            r["metadata"]["name"]
            for r in self.store.all("knative/revisions")
            if _is_ready(r) and r["metadata"]["name"] >= status.get("latestReadyRevisionName", "")
        ]
        if ready:
            status["latestReadyRevisionName"] = max(ready)
        status["observedGeneration"] = generation
        self.store.put("knative/configurations", {**config, "status": status}, status=True)

    def _route(self) -> None:
        route = self.store.get("knative/routes", PREDICTOR)
        config = self.store.get("knative/configurations", PREDICTOR)
        if route is None or config is None:
            return
        traffic = []
        for target in route["spec"]["traffic"]:
            name = target.get("revisionName") or config.get("status", {}).get(
                "latestReadyRevisionName"
            )
            found = self.store.get("knative/revisions", name) if name else None
            if found is None or not _is_ready(found):
                return
            traffic.append(
                {
                    "revisionName": name,
                    "percent": target["percent"],
                    "latestRevision": target["latestRevision"],
                    **({"tag": target["tag"]} if target.get("tag") else {}),
                    **(
                        {"url": f"http://{target['tag']}-{PREDICTOR}.{NAMESPACE}.svc.cluster.local"}
                        if target.get("tag")
                        else {}
                    ),
                }
            )
        status = route.get("status") or {}
        generation = route["metadata"]["generation"]
        same = status.get("traffic") == traffic and status.get("observedGeneration") == generation
        status["traffic"] = traffic
        status["observedGeneration"] = generation
        # The gateway has it one pass later.
        status["conditions"] = [_condition("True" if same else "Unknown")]
        self.store.put("knative/routes", {**route, "status": status}, status=True)

    def behaviour_of(self, document: Document) -> Behaviour:
        """Of a pod, or of a Knative revision."""
        container = document["spec"]["containers"][0]
        uri = (document["metadata"].get("annotations") or {}).get(STORAGE_URI, "")
        for key in (container["image"], *container["args"], uri):
            if key in self.behaviours:
                return self.behaviours[key]
        return Behaviour()

    def _revision(self, revision: Document) -> None:
        name = revision["metadata"]["name"]
        behaviour = self.behaviour_of(revision)
        age = self.ages[name] = self.ages.get(name, 0) + 1
        pod = self.store.get("pods", f"{name}-pod")
        if pod is None and age == 1:
            pod = _pod(name, revision["spec"]["containers"])
            pod["metadata"]["annotations"] = revision["metadata"].get("annotations") or {}
            pod = self.store.put("pods", pod)
        if pod is not None and age <= behaviour.ticks + 1:
            pod["status"] = _pod_status(behaviour, age >= behaviour.ticks)
            self.store.put("pods", pod, status=True)
        condition = _condition("Unknown", "Deploying")
        if age >= behaviour.ticks:
            if behaviour.kind == "start":
                condition = _condition("True")
            elif behaviour.kind == "crash":
                condition = _condition("False", "ExitCode1", "Container failed with: " + "")
            elif behaviour.kind == "unschedulable":
                condition = _condition("False", "Unschedulable", "0/1 nodes: Insufficient cpu")
        status = {
            "conditions": [condition],
            "observedGeneration": revision["metadata"]["generation"],
        }
        self.store.put("knative/revisions", {**revision, "status": status}, status=True)

    def _job(self, job: Document) -> None:
        name = job["metadata"]["name"]
        if (job.get("status") or {}).get("conditions"):
            return
        message = self.job_result(job)
        failed = message.startswith("failed: ")
        pod = _pod(name, job["spec"]["template"]["spec"]["containers"])
        pod["metadata"]["labels"] = {"batch.kubernetes.io/job-name": name}
        ended = {"exitCode": int(failed), "message": message}
        pod["status"] = {
            "phase": "Failed" if failed else "Succeeded",
            "containerStatuses": [
                {
                    "name": job["spec"]["template"]["spec"]["containers"][0]["name"],
                    "state": {"terminated": ended},
                }
            ],
        }
        self.store.put("pods", pod)
        kind = "Failed" if failed else "Complete"
        status = {"conditions": [{"type": kind, "status": "True"}]}
        self.store.put("jobs", {**job, "status": status}, status=True)

    def _apply(self, plural: str, desired: Document) -> Document:
        existing = self.store.get(plural, desired["metadata"]["name"])
        if existing is None:
            return self.store.put(plural, desired)
        return self.store.put(plural, {**existing, "spec": desired["spec"]})

    # The API.

    def handle(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """One request: status and answer (a document, or a text)."""
        with self.lock:
            return self._handle(method, target, body)

    def _handle(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        url = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        group = parts[1] if parts[0] == "apis" else ""
        rest = parts[3:] if parts[0] == "apis" else parts[2:]
        if rest == ["nodes"]:
            address = {"type": "InternalIP", "address": "192.168.49.2"}
            return 200, {"items": [{"status": {"addresses": [address]}}]}
        assert rest[0] == "namespaces", target
        plural, name, *more = [*rest[2:], ""]
        if group == "serving.knative.dev":
            plural = f"knative/{plural}"
        part = more[0] if more and more[0] else ""
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        verb = verbs.get(method) or ("get" if name else "list")
        resource = f"{rest[2]}/{part}" if part else rest[2]
        self.asked.add((resource, verb, "" if verb == "create" and not part else name))
        if plural == "events":
            involved = query["fieldSelector"].partition("=")[2]
            items = [e for e in self.store.all("events") if e["involved"] == involved]
            return 200, {"items": items}
        if plural == "pods" and more and more[0] == "log":
            return self._log(name, query)
        if plural == "pods" and more and more[0] == "proxy":
            return self._proxy(method, name.partition(":")[0], "/".join(more[1:]).rstrip("/"), body)
        if method == "GET":
            return self._read(plural, name, query)
        self.before_write(method, plural, name or (body or {}).get("metadata", {}).get("name", ""))
        if method == "DELETE":
            gone = self.store.objects.pop((plural, name), None)
            self.writes.append((method, plural, name))
            return (200, {}) if gone else (404, _status(f'{plural} "{name}" not found'))
        return self._write(method, plural, name, more[0] if more else "", body, query)

    def _read(self, plural: str, name: str, query: dict[str, str]) -> tuple[int, Any]:
        if name:
            found = self.store.get(plural, name)
            return (200, found) if found else (404, _status(f'{plural} "{name}" not found'))
        wanted = dict(p.split("=") for p in query.get("labelSelector", "").split(",") if p)
        items = [
            d
            for d in self.store.all(plural)
            if wanted.items() <= (d["metadata"].get("labels") or {}).items()
        ]
        return 200, {"items": items}

    def _write(
        self, method: str, plural: str, name: str, part: str, body: Document, query: dict[str, str]
    ) -> tuple[int, Any]:
        if method == "POST":
            name = body["metadata"]["name"]
            if self.store.get(plural, name):
                return 409, _status(f'{plural} "{name}" already exists')
            self.writes.append((method, plural, name))
            return 201, self.store.put(plural, body)
        old = self.store.get(plural, name)
        if old is None:
            return 404, _status(f'{plural} "{name}" not found')
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            return 409, _status(
                f'Operation cannot be fulfilled on {plural} "{name}": the object has been '
                "modified; please apply your changes to the latest version and try again"
            )
        if plural == "inferenceservices":
            bad = [
                c["image"]
                for c in (body.get("spec") or {}).get("predictor", {}).get("containers", [])
                if " " in c["image"]
            ]
            if bad:
                return 422, _status("admission webhook denied the request: bad image name")
        if query.get("dryRun"):
            return 200, body
        self.writes.append((method, f"{plural}/{part}" if part else plural, name))
        if method == "PATCH":
            return 200, self.store.put(plural, merged(old, body), status=part == "status")
        return 200, self.store.put(plural, body)

    def _log(self, pod: str, query: dict[str, str]) -> tuple[int, Any]:
        found = self.store.get("pods", pod)
        if found is None:
            return 404, _status(f'pods "{pod}" not found')
        behaviour = self.behaviour_of(found)
        if behaviour.kind == "pull":
            return 400, _status("container is waiting to start: image can't be pulled")
        lines = behaviour.log.splitlines()[-int(query["tailLines"]) :]
        return 200, "\n".join(lines)

    def _proxy(self, method: str, pod: str, path: str, body: Any) -> tuple[int, Any]:
        found = self.store.get("pods", pod)
        if found is None:
            return 404, _status(f'pods "{pod}" not found')
        behaviour = self.behaviour_of(found)
        if path == "metrics":
            return 200, self.metrics.get(
                found["metadata"]["labels"]["serving.knative.dev/revision"], ""
            )
        model = path.split("/")[2]
        held = _held(found)
        one_pod = len(found["spec"]["containers"]) == 2
        if model not in ([SERVICE] if one_pod else held):
            return 404, {"error": f"there is no model {model!r} here"}
        if method == "GET":
            return 200, {"name": model, "ready": True}
        (tensor,) = body["inputs"]
        if one_pod:
            # A transformer: pictures in, and no word of its contract out.
            ((name, number),) = held.items()
            revision = open_revision(self.cards, name, number)
            Image.open(io.BytesIO(base64.b64decode(tensor["data"][0]))).load()
            return 200, {
                "model_name": model,
                "model_version": behaviour.revision or number,
                "parameters": {"model_digest": behaviour.digest or revision.digest},
            }
        revision = open_revision(self.cards, model, held[model])
        spec = revision.card.contract.input
        shape = tuple(tensor["shape"])
        if shape[0] != 1 or not spec.accepts(shape[1:]) or len(tensor["data"]) != prod(shape):
            return 422, {"error": f"inputs[0].shape {list(shape)} is not {spec.wanted_shape}"}
        if spec.dtype == "UINT8" and not all(type(value) is int for value in tensor["data"]):
            return 422, {"error": "data must be numbers of UINT8"}
        return 200, {
            "model_name": model,
            "model_version": behaviour.revision or held[model],
            "parameters": {
                "model_digest": behaviour.digest or revision.digest,
                "contract_digest": revision.card.contract.digest,
            },
        }


def copied(document: Any) -> Any:
    """A deep copy, several times faster than ``copy.deepcopy`` of plain JSON."""
    return pickle.loads(pickle.dumps(document, pickle.HIGHEST_PROTOCOL))


def inference_service(models: dict[str, str]) -> Document:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": SERVICE,
            "namespace": NAMESPACE,
            "annotations": {
                "serving.kserve.io/deploymentMode": "Knative",
                "serving.kserve.io/enable-tag-routing": "true",
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 0,
                "containers": [
                    {
                        "name": "kserve-container",
                        "image": "vision-predictor:dev",
                        "args": [
                            *(f"--model={name}={revision}" for name, revision in models.items()),
                            "--http_port=8080",
                        ],
                    }
                ],
            },
            "transformer": {
                "containers": [{"name": "kserve-container", "image": "vision-transformer:dev"}]
            },
        },
    }


def one_pod(uri: str) -> Document:
    """Of the ServingRuntime, by where its revision lies."""
    document = inference_service({})
    runtime = {"modelFormat": {"name": "vision"}, "storageUri": uri}
    document["spec"] = {"predictor": {"minReplicas": 0, "model": runtime}}
    return document


def template_of(predictor: Document) -> Document:
    """Of a pod: a predictor's own containers, or those of the runtime of its model."""
    if "model" not in predictor:
        return {"spec": {"containers": copied(predictor["containers"])}}
    source = predictor["model"]["storageUri"]
    names = ("kserve-container", "transformer-container")
    arguments = ["--model=/mnt/models"]
    containers = [{"name": name, "image": "vision:dev", "args": arguments} for name in names]
    return {
        "metadata": {"annotations": {STORAGE_URI: source}},
        "spec": {"containers": copied(containers)},
    }


def _propagate(component: Document, status: Document) -> Document:
    """``PropagateStatus`` of ``inference_service_status.go``, line by line."""
    found = dict(component)
    traffic = status.get("traffic") or []
    created, ready = (
        status.get("latestCreatedRevisionName", ""),
        status.get("latestReadyRevisionName", ""),
    )
    found["latestCreatedRevision"] = created
    totals = _shares(traffic)
    for target in traffic:
        if target["revisionName"] != ready or not target["latestRevision"]:
            continue
        if found.get("latestRolledoutRevision", "") != ready:
            if target["percent"] == 100:
                found["previousRolledoutRevision"] = found.get("latestRolledoutRevision", "")
                found["latestRolledoutRevision"] = ready
        elif ready == created and target["percent"] < 100:
            previous = found.get("previousRolledoutRevision", "")
            if totals[ready] == 100 and previous:
                found["latestRolledoutRevision"] = previous
    found["latestReadyRevision"] = ready
    found["traffic"] = traffic
    return {key: value for key, value in found.items() if value}


def _shares(traffic: list[Document]) -> dict[str, int]:
    found: dict[str, int] = {}
    for target in traffic:
        name = target["revisionName"]
        found[name] = found.get(name, 0) + target["percent"]
    return found


def _held(document: Document) -> dict[str, str]:
    """Revision by model of a pod or of a Knative revision, by its arguments or its address."""
    uri = (document["metadata"].get("annotations") or {}).get(STORAGE_URI, "")
    if not uri:
        return _models(document["spec"]["containers"][0]["args"])
    *_, model, revision = uri.rstrip("/").split("/")
    return {model: revision}


def _models(arguments: list[str]) -> dict[str, str]:
    pairs = (a.removeprefix("--model=") for a in arguments if a.startswith("--model="))
    return dict(pair.split("=", 1) for pair in pairs)


def _bare(document: Document) -> Document:
    return {k: v for k, v in document["metadata"].items() if k != "resourceVersion"}


def _is_ready(document: Document) -> bool:
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _condition(status: str, reason: str = "", message: str = "") -> Document:
    return {"type": "Ready", "status": status, "reason": reason, "message": message}


def _pod(revision: str, containers: list[Document]) -> Document:
    return {
        "metadata": {
            "name": f"{revision}-pod",
            "labels": {"serving.knative.dev/revision": revision},
        },
        "spec": {"containers": containers},
    }


def _pod_status(behaviour: Behaviour, done: bool) -> Document:
    container: Document = {"name": "kserve-container", "ready": False, "restartCount": 0}
    conditions = [{"type": "Ready", "status": "False"}]
    container["state"] = {"running": {}}
    if done and behaviour.kind == "start":
        container["ready"] = True
        conditions = [{"type": "Ready", "status": "True"}]
    elif done and behaviour.kind == "crash":
        container["restartCount"] = 2
        container["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
        container["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error"}}
    elif behaviour.kind == "pull":
        reason = "ImagePullBackOff" if done else "ErrImagePull"
        container["state"] = {"waiting": {"reason": reason, "message": "no such image: nowhere"}}
    elif behaviour.kind == "unschedulable":
        conditions.append(
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/1 nodes are available: 1 Insufficient cpu",
            }
        )
        return {"conditions": conditions}
    return {"conditions": conditions, "containerStatuses": [container]}


def _status(message: str) -> Document:
    return {"kind": "Status", "message": message}


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@contextmanager
def api_server(fake: FakeCluster) -> Iterator[str]:
    """Serve ``fake`` on a loopback port; gives its URL."""

    class Handler(QuietHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            fake.authorization = self.headers.get("Authorization", "")
            status, answer = fake.handle(self.command, self.path, body)
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer

    with served(Handler) as url:
        yield url

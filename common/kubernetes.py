"""One client of the Kubernetes API: objects as plain JSON, by the kubernetes package's transport.

kubectl stays for what has no equal in the package: ``kubectl kustomize`` renders, and
``kubectl apply`` of a render keeps the memory of what an earlier apply wrote, so that a field that
leaves the manifests leaves the cluster too; apply by the server would not take those over. So it
stays for `make cluster` too, which applies other projects' releases and waits for them.

KubernetesError (Exception)
├── ObjectNotFoundError    404
└── ObjectConflictError    409: changed, or created, by somebody else since it was read
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

Document = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of object by the place of its collection."""

    prefix: str
    plural: str
    namespaced: bool = True


INFERENCE_SERVICE = Kind("/apis/serving.kserve.io/v1beta1", "inferenceservices")
CONFIGURATION = Kind("/apis/serving.knative.dev/v1", "configurations")
REVISION = Kind("/apis/serving.knative.dev/v1", "revisions")
ROUTE = Kind("/apis/serving.knative.dev/v1", "routes")
CONFIG_MAP = Kind("/api/v1", "configmaps")
POD = Kind("/api/v1", "pods")
EVENT = Kind("/api/v1", "events")
SERVICE = Kind("/api/v1", "services")
JOB = Kind("/apis/batch/v1", "jobs")
NODE = Kind("/api/v1", "nodes", namespaced=False)
DEPLOYMENT = Kind("/apis/apps/v1", "deployments")
STATEFUL_SET = Kind("/apis/apps/v1", "statefulsets")
DAEMON_SET = Kind("/apis/apps/v1", "daemonsets")

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
TIMEOUT_SECONDS = 30.0


class KubernetesError(Exception):
    """The API server says no, or cannot be reached; ``code`` is its HTTP status, 0 without one."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ObjectNotFoundError(KubernetesError):
    """404."""


class ObjectConflictError(KubernetesError):
    """409."""


class Cluster:
    """A cluster, and the namespace that is meant where none is named.

    Every method raises ``KubernetesError``, or one of its kinds.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.rest_client.pool_manager.clear()
        self._api.close()

    @classmethod
    def connect(cls, namespace: str, context: str | None = None) -> Cluster:
        """The cluster that ``KUBECONFIG`` (or ``~/.kube/config``) names, or that this runs in.

        Raises:
            KubernetesError: there is neither.
        """
        settings = client.Configuration()
        # Reading is tried again: a rollout takes minutes, and an API server may blink.
        settings.retries = urllib3.Retry(
            total=4,
            backoff_factor=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
        )
        try:
            config.load_kube_config(context=context, client_configuration=settings)
        except (ConfigException, OSError) as error:
            try:
                config.load_incluster_config(client_configuration=settings)
            except ConfigException:
                raise KubernetesError(
                    f"no cluster is configured ({error}); KUBECONFIG names the file that says "
                    "where it is (minikube writes ~/.kube/config)"
                ) from None
        return cls(client.ApiClient(settings), namespace)

    def find(
        self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> list[Document]:
        query = {}
        if labels:
            query["labelSelector"] = ",".join(f"{k}={v}" for k, v in labels.items())
        path = self._path(kind, namespace=namespace)
        found: list[Document] = self._json("GET", path, query=query)["items"]
        return found

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document:
        return self._json("GET", self._path(kind, name, namespace))

    def create(self, kind: Kind, document: Document) -> Document:
        return self._json("POST", self._path(kind), document)

    def replace(self, kind: Kind, document: Document, dry_run: bool = False) -> Document:
        """Write a whole object back; its ``resourceVersion`` must still be the stored one."""
        name = document["metadata"]["name"]
        query = {"dryRun": "All"} if dry_run else {}
        return self._json("PUT", self._path(kind, name), document, query)

    def patch(
        self, kind: Kind, name: str, patch: Document, namespace: str | None = None
    ) -> Document:
        """A JSON merge patch; with ``metadata.resourceVersion`` it is a swap."""
        return self._json("PATCH", self._path(kind, name, namespace), patch, {}, MERGE_PATCH)

    def patch_status(self, kind: Kind, name: str, patch: Document) -> Document:
        """A JSON merge patch of the status; with ``metadata.resourceVersion`` it is a swap."""
        return self._json("PATCH", self._path(kind, name) + "/status", patch, {}, MERGE_PATCH)

    def delete(self, kind: Kind, name: str) -> None:
        """Delete with all that belongs to it; absent is fine."""
        try:
            self._json("DELETE", self._path(kind, name), query={"propagationPolicy": "Background"})
        except ObjectNotFoundError:
            return

    def events(self, name: str) -> list[Document]:
        """Events of one object, oldest first."""
        query = {"fieldSelector": f"involvedObject.name={name}"}
        found: list[Document] = self._json("GET", self._path(EVENT), query=query)["items"]
        return found

    def pod_log(self, pod: str, container: str, lines: int, previous: bool = False) -> str:
        query = {"container": container, "tailLines": str(lines)}
        if previous:
            query["previous"] = "true"
        return self._call("GET", self._path(POD, pod) + "/log", query=query)

    def ask_pod(self, pod: str, port: int, path: str, body: Document | None = None) -> str:
        """GET (or POST, with a body) on a pod's port, declared or not, by the server's proxy."""
        url = self._proxy(pod, port, path)
        return self._call("GET" if body is None else "POST", url, body)

    def post_to_pod(
        self,
        pod: str,
        port: int,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        namespace: str | None = None,
    ) -> bytes:
        """The same with bytes of any kind, there and back, and headers that say which."""
        document = json.loads(body) if headers.get("Content-Type") == JSON else body
        return self._send("POST", self._proxy(pod, port, path, namespace), document, None, headers)

    def _proxy(self, pod: str, port: int, path: str, namespace: str | None = None) -> str:
        return f"{self._path(POD, f'{pod}:{port}', namespace)}/proxy/{path.lstrip('/')}"

    def _path(self, kind: Kind, name: str = "", namespace: str | None = None) -> str:
        within = f"/namespaces/{quote(namespace or self.namespace)}" if kind.namespaced else ""
        path = f"{kind.prefix}{within}/{kind.plural}"
        return f"{path}/{quote(name, safe=':')}" if name else path

    def _json(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Document:
        document: Document = json.loads(self._call(method, path, body, query, content_type))
        return document

    def _call(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> str:
        headers = {"Accept": "application/json, */*"}
        if body is not None:
            headers["Content-Type"] = content_type
        sent = self._send(method, path, body, query, headers)
        return sent.decode("utf-8", "replace")

    def _send(
        self,
        method: str,
        path: str,
        body: Document | bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> bytes:
        headers = {**headers, "User-Agent": "vision"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._api.configuration.host.rstrip("/") + path
        if query:
            url = f"{url}?{urlencode(query)}"
        try:
            response = self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=TIMEOUT_SECONDS
            )
            content: bytes = response.read()
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise KubernetesError(f"{self._api.configuration.host}: {error}") from None
        if response.status < 400:
            return content
        reason = (
            _reason(content.decode("utf-8", "replace")) or f"{method} {path}: {response.status}"
        )
        if response.status == 404:
            raise ObjectNotFoundError(reason, 404)
        if response.status == 409:
            raise ObjectConflictError(reason, 409)
        raise KubernetesError(reason, response.status)


def _reason(text: str) -> str:
    """The message of a Kubernetes ``Status``, or what there is instead."""
    try:
        document = json.loads(text)
    except ValueError:
        return text.strip()[:300]
    if isinstance(document, dict):
        return str(document.get("message") or document.get("error") or "")
    return ""

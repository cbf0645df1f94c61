"""``make chart``: those of the Helm chart's templates that the manifests already say.

kustomize's manifests are the source. The InferenceServices, whose every part a release may set, are
a template written by hand; a test compares both with what kustomize renders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from cluster.commands import ROOT, run
from common.yaml_text import yaml_text

CHART = ROOT / "charts" / "vision"
IMAGES = ("vision-accounts", "vision-predictor", "vision-transformer")
NOT_HERE = ("Namespace/vision", "InferenceService/vision", "ServiceAccount/vision")
"""Helm makes the namespace; the others' templates are written by hand."""

WORD = "expression-{}-of-a-template"
"""What stands for an expression until all is text; no manifest has such a word."""
NAMESPACE = "{{ $.Release.Namespace }}"

Document = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Documents of the manifests that come and go together.

    Attributes:
        source: kustomization below manifests/ whose documents they are.
        condition: under which a release has them.
        settings: what a release may set: expressions by document (``Kind/name``) and path.
        only, but: which documents, as ``Kind/name``; empty: all, and none.
    """

    source: str
    condition: str
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()


def _groups(of: str) -> str:
    """The subjects of a binding: a range over names that a release sets."""
    return (
        f"\n  {{{{- range {of} }}}}\n  - apiGroup: rbac.authorization.k8s.io\n"
        "    kind: Group\n    name: {{ . | quote }}\n  {{- end }}"
    )


ROLES = ("viewer", "developer", "deployer", "trainer", "operator")
DATABASE = (
    *("Service/accounts-database", "StatefulSet/accounts-database"),
    *("NetworkPolicy/accounts-database", "NetworkPolicy/accounts-backup"),
    *("PersistentVolumeClaim/accounts-backup", "CronJob/accounts-backup"),
)
# A Pod is made anew where what it reads at its start has changed.
SETTINGS = {
    "spec.template.metadata.annotations": '{checksum/settings: {{ include "vision.settings" $ }}}'
}

PARTS = {
    "networkpolicies": Part("base", ".Values.networkPolicies.enabled"),
    "high-availability": Part("components/high-availability", ".Values.highAvailability.enabled"),
    "grpc": Part("components/grpc", ".Values.grpc.enabled"),
    "object-storage": Part("components/object-storage", ".Values.objectStorage.enabled"),
    "otlp": Part("components/otlp", ".Values.otlp.enabled"),
    "rollout": Part("components/rollout", ".Values.rollout.enabled"),
    "accounts": Part(
        "components/accounts",
        ".Values.accounts.enabled",
        {
            "ConfigMap/accounts": {
                "data": "{{- toYaml $.Values.accounts.settings | nindent 2 }}",
            },
            "Service/edge": {"spec.type": "{{ $.Values.accounts.edge.serviceType }}"},
            "Deployment/edge": SETTINGS
            | {"spec.replicas": "{{ $.Values.accounts.edge.replicas }}"},
            "Deployment/console": SETTINGS
            | {"spec.replicas": "{{ $.Values.accounts.console.replicas }}"},
            # A Job cannot be changed: other images have another one.
            "Job/accounts-migrate": {
                "metadata.name": 'accounts-migrate-{{ include "vision.migration" $ }}',
            },
        },
        but=DATABASE,
    ),
    "database": Part(
        "components/accounts",
        "and .Values.accounts.enabled .Values.accounts.database.enabled",
        only=DATABASE,
    ),
    "monitoring": Part(
        "components/monitoring",
        ".Values.monitoring.enabled",
        # What is pushed is not scraped as well, or it would count twice.
        {
            "PodMonitor/vision": {
                "spec.podMetricsEndpoints.0.metricRelabelings": (
                    '{{ ternary (list (dict "sourceLabels" (list "__name__") "regex" ".+" '
                    '"action" "drop")) (list) $.Values.otlp.enabled | toJson }}'
                ),
            }
        },
    ),
    "roles": Part(
        "components/roles",
        ".Values.roles.enabled",
        {
            f"RoleBinding/people-{role}": {
                "subjects": _groups(f"$.Values.roles.groups.{role}"),
            }
            for role in ROLES
        }
        | {
            "ClusterRoleBinding/vision-people": {
                "subjects": _groups(
                    "uniq (concat " + " ".join(f"$.Values.roles.groups.{r}" for r in ROLES) + ")"
                ),
            }
        },
    ),
    "domains": Part("components/domains", ".Values.domains.enabled"),
    "shadow": Part("components/shadow", ".Values.shadow.enabled"),
    "runtime": Part("runtime/cluster", ".Values.runtime.enabled"),
}


def write_chart(folder: Path = CHART) -> list[Path]:
    """Write the template of every part; returns the files."""
    written = []
    for name, text in templates().items():
        path = folder / "templates" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def templates() -> dict[str, str]:
    """The text of each part's template, by its name."""
    rendered = {source: documents(source) for source in {part.source for part in PARTS.values()}}
    return {name: _template(part, rendered[part.source]) for name, part in PARTS.items()}


def documents(source: str) -> list[Document]:
    """What kustomize makes of one of the manifests' folders, without the digests in its names."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    listed = "components" if source.startswith("components/") else "resources"
    with TemporaryDirectory(dir=build) as folder:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            listed: [f"../../manifests/{source}"],
        }
        path = Path(folder) / "kustomization.yaml"
        path.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        text = run("kubectl", "kustomize", folder)
    for name, plain in re.findall(r"^  name: ((\S+)-[a-z0-9]{10})$", text, re.MULTILINE):
        text = text.replace(name, plain)
    return [document for document in yaml.safe_load_all(text) if document]


def identity(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def _template(part: Part, rendered: list[Document]) -> str:
    texts = [
        _text(document, part.settings.get(identity(document), {}))
        for document in rendered
        if identity(document) not in NOT_HERE
        and (not part.only or identity(document) in part.only)
        and identity(document) not in part.but
    ]
    head = (
        f"{{{{- /* Written by `make chart` from manifests/{part.source}: change it there. */}}}}\n"
    )
    return f"{head}{{{{- if {part.condition} }}}}\n" + "---\n".join(texts) + "{{- end }}\n"


def _text(document: Document, settings: Mapping[str, str]) -> str:
    expressions = dict(enumerate(settings.values()))
    for number, path in enumerate(settings):
        _set(document, path.split("."), WORD.format(number))
    if "namespace" in document["metadata"]:
        del document["metadata"]["namespace"]
    # Braces of a manifest's own are not the template's.
    text = yaml_text(document)
    text = text.replace("{{", '{{ "{{" }}')
    for image in IMAGES:
        text = re.sub(
            rf"image: \S*{image}(:\S+)?$",
            f'image: {{{{ include "vision.image" (list $ "{image}") }}}}',
            text,
            flags=re.MULTILINE,
        )
    text = re.sub(r"(namespace: |namespaces/|-transformer\.)vision\b", rf"\g<1>{NAMESPACE}", text)
    text = text.replace("secretName: accounts\n", "secretName: {{ $.Values.accounts.secret }}\n")
    for number, expression in expressions.items():
        text = text.replace(WORD.format(number), expression)
    return text


def _set(document: Document, path: list[str], value: str) -> None:
    # A field, or an item of a list, whose key is its index.
    node: Any = document
    for key in path[:-1]:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[path[-1]] = value

"""``make chart``: those of the Helm chart's templates that the manifests already say.

kustomize's manifests are the source. The InferenceServices, whose every part a release may set, are
a template written by hand; a test compares both with what kustomize renders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from cluster.commands import ROOT, run
from common.yaml_text import yaml_text

CHART = ROOT / "charts" / "vision"
IMAGES = ("vision-accounts", "vision-lifecycle", "vision-predictor", "vision-transformer")
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
        changed_by, if_changed: another component, which adds to these documents and changes them,
            and under which condition a release has it; empty: none.
    """

    source: str
    condition: str
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    changed_by: str = ""
    if_changed: str = ""

    @property
    def renderings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The folders that are rendered for it, without and with what changes it."""
        plain = (self.source,)
        return plain, (*plain, self.changed_by) if self.changed_by else plain


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
    *(
        "Issuer/itself",
        "Certificate/authority",
        "Issuer/authority",
        "Certificate/accounts-database",
    ),
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
                "data": '{{- include "vision.accounts" $ | nindent 2 }}',
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
            "Certificate/edge": {
                "spec.dnsNames": "{{ toJson $.Values.tls.dnsNames }}",
                "spec.issuerRef.name": "{{ $.Values.tls.clusterIssuer }}",
            },
        },
        but=DATABASE,
        changed_by="components/tls",
        if_changed=".Values.tls.enabled",
    ),
    "database": Part(
        "components/accounts",
        "and .Values.accounts.enabled .Values.accounts.database.enabled",
        only=DATABASE,
        changed_by="components/tls",
        if_changed=".Values.tls.enabled",
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
    "standard": Part("components/standard", ".Values.standard.enabled"),
    "domains": Part("components/domains", ".Values.domains.enabled"),
    "shadow": Part("components/shadow", ".Values.shadow.enabled"),
    "lifecycle": Part(
        "components/lifecycle",
        ".Values.lifecycle.enabled",
        {
            "ConfigMap/lifecycle-settings": {
                "data": '{{- include "vision.lifecycle" $ | nindent 2 }}',
            },
            "Deployment/lifecycle-events": {
                "spec.template.metadata.annotations": (
                    '{checksum/settings: {{ include "vision.lifecycle" $ | sha256sum }}}'
                )
            },
        },
        changed_by="components/lifecycle-trainer",
        if_changed=".Values.lifecycle.trainer.enabled",
    ),
    "lifecycle-events": Part(
        "components/lifecycle-events",
        "and .Values.lifecycle.enabled .Values.lifecycle.events.enabled",
    ),
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
    renderings = {sources for part in PARTS.values() for sources in part.renderings}
    rendered = {sources: documents(*sources) for sources in renderings}
    return {
        name: _template(part, *(rendered[sources] for sources in part.renderings))
        for name, part in PARTS.items()
    }


def documents(*sources: str) -> list[Document]:
    """What kustomize makes of the manifests' folders, without the digests in its names."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    listed = "components" if sources[0].startswith("components/") else "resources"
    with TemporaryDirectory(dir=build) as folder:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            listed: [f"../../manifests/{source}" for source in sources],
        }
        path = Path(folder) / "kustomization.yaml"
        path.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        text = run("kubectl", "kustomize", folder)
    for name, plain in re.findall(r"^  name: ((\S+)-[a-z0-9]{10})$", text, re.MULTILINE):
        text = text.replace(name, plain)
    return [document for document in yaml.safe_load_all(text) if document]


def identity(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def _template(part: Part, plain: list[Document], changed: list[Document]) -> str:
    without, texts = _texts(part, plain), []
    for name, text in _texts(part, changed).items():
        if without.get(name) == text:
            texts.append(text)
        else:
            otherwise = f"{{{{- else }}}}\n{without[name]}" if name in without else ""
            texts.append(f"{{{{- if {part.if_changed} }}}}\n{text}{otherwise}{{{{- end }}}}\n")
    head = (
        f"{{{{- /* Written by `make chart` from manifests/{part.source}: change it there. */}}}}\n"
    )
    return f"{head}{{{{- if {part.condition} }}}}\n" + "---\n".join(texts) + "{{- end }}\n"


def _texts(part: Part, rendered: list[Document]) -> dict[str, str]:
    """Each document of a part as text, by its identity."""
    names = [name for name in map(identity, rendered) if name not in (*NOT_HERE, *part.but)]
    by_name = {identity(document): document for document in deepcopy(rendered)}
    return {
        name: _text(by_name[name], part.settings.get(name, {}))
        for name in names
        if not part.only or name in part.only
    }


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
    text = re.sub(
        r"(namespace: |namespaces/|-transformer\.|-database\.)vision\b", rf"\g<1>{NAMESPACE}", text
    )
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

"""``python -m cluster VERB``, which `make cluster`, `make images`, `make deploy` … call."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from artifact import ArtifactError
from cluster import (
    cards,
    chart,
    gateway,
    images,
    overlay,
    own_overlay,
    pinned,
    platform,
    tls,
    versions,
)
from cluster.commands import ROOT, ClusterError
from common.kubernetes import Cluster, KubernetesError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, about in (("create", "minikube and all the service stands on"), ("delete", "it")):
        made = verbs.add_parser(verb, help=about)
        made.add_argument("--profile", default=platform.Profile.name, help="minikube's")
        made.add_argument("--cpus", type=int, default=platform.Profile.cpus)
        made.add_argument("--memory", default=platform.Profile.memory)
        made.add_argument("--driver", default="", help="minikube's; it chooses where none is named")
    built = verbs.add_parser("images", help="build all, and load them into minikube")
    built.add_argument("--profile", default=platform.Profile.name, help="minikube's")
    built.add_argument(
        "--component",
        nargs="+",
        choices=(*images.COMPONENTS, *images.OPTIONAL),
        default=images.COMPONENTS,
        help="what to build (predictor transformer accounts)",
    )
    built.add_argument("--builder", default="", choices=("", *images.BUILDERS))
    built.add_argument("--torch-index", default="", help="in place of PyTorch's for CPUs")
    built.add_argument("--arguments", default="", help="more of the builder's own, as one text")
    verbs.add_parser("lock-platform", help="pin the platform's manifests by checksum")
    for verb, about in (
        ("render", "write build/<overlay>.yaml"),
        ("deploy", "apply it and wait"),
        ("undeploy", "take it away"),
    ):
        verbs.add_parser(verb, help=about).add_argument("--overlay", default="minikube")
    for verb in ("images", "render", "deploy", "undeploy"):
        named = verbs.choices[verb]
        named.add_argument("--repository", default="", help="of the images")
        named.add_argument("--tag", default="", help="of the images")
    applied = verbs.choices["deploy"]
    applied.add_argument("--force", action="store_true", help="end a split of traffic")
    applied.add_argument("--gateway", default="", help="http://host:port, where it is not found")
    applied.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    asked = verbs.add_parser("predict", help="one picture through the gateway")
    asked.add_argument("--model", default="mnist")
    asked.add_argument("--image", type=Path)
    asked.add_argument("--gateway", default="", help="http://host:port, where it is not found")
    asked.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    asked.add_argument("--key", default="", help="API key, where the service is behind accounts")
    carded = verbs.add_parser("cards", help="a ConfigMap of model cards for the transformer")
    carded.add_argument("--models", type=Path, default=ROOT / "models")
    own = verbs.add_parser("overlay", help="write an overlay with models of your own")
    own.add_argument("name", help="of the folder under manifests/overlays")
    own.add_argument("served", nargs="+", metavar="MODEL[=REVISION]")
    own.add_argument("--base", default="minikube", help="overlay whose settings it has")
    own.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    own.add_argument("--storage", default="", help="one pod a model, from s3://bucket/models, …")
    verbs.add_parser("platform", help="Knative, Kourier and KServe in the cluster of KUBECONFIG")
    encrypted = verbs.add_parser("tls", help="certificates, and TLS within the cluster")
    encrypted.add_argument("--issuer", default=tls.ISSUERS[0], choices=tls.ISSUERS)
    verbs.add_parser("chart", help="write the Helm chart's templates from the manifests")
    options = parser.parse_args(arguments)
    try:
        VERBS[options.verb](options)
    except (ClusterError, ArtifactError, KubernetesError) as error:
        print(f"{options.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _profile(options: argparse.Namespace) -> platform.Profile:
    return platform.Profile(options.profile, options.cpus, options.memory, options.driver)


def _images(options: argparse.Namespace) -> None:
    images.build_all(
        images.Build(
            options.repository or images.REPOSITORY,
            options.tag or images.project_version(),
            options.builder,
            options.torch_index,
            tuple(shlex.split(options.arguments)),
            options.profile,
            tuple(options.component),
        )
    )


def _overlay(options: argparse.Namespace) -> overlay.Overlay:
    return overlay.Overlay(options.overlay, options.repository, options.tag)


def _predict(options: argparse.Namespace) -> None:
    where = (options.gateway, options.models, options.key)
    with Cluster.connect(overlay.NAMESPACE) as cluster:
        gateway.predict(cluster, options.model, options.image, *where)


def _deploy(options: argparse.Namespace) -> None:
    wanted = overlay.Deployed(options.gateway, options.models, options.force)
    overlay.deploy(_overlay(options), wanted)


def _own_overlay(options: argparse.Namespace) -> None:
    revisions = own_overlay.revisions_to_serve(options.models, options.served)
    base = overlay.Overlay(options.base)
    if options.storage:
        folder = own_overlay.write_pods_overlay(options.name, base, revisions, options.storage)
    else:
        folder = own_overlay.write_overlay(options.name, base, revisions)
    print(f"wrote {folder.relative_to(ROOT)}; deploy it: make images deploy OVERLAY={options.name}")


def _chart(_options: argparse.Namespace) -> None:
    for path in chart.write_chart():
        print(path.relative_to(ROOT))


VERBS: dict[str, Callable[[argparse.Namespace], object]] = {
    "create": lambda options: platform.create(_profile(options)),
    "delete": lambda options: platform.delete(_profile(options)),
    "images": _images,
    "lock-platform": lambda _: print("\n".join(pinned.write_lock(versions.manifests()))),
    "render": lambda options: print(overlay.render(_overlay(options)).relative_to(ROOT)),
    "deploy": _deploy,
    "undeploy": lambda options: overlay.undeploy(_overlay(options)),
    "predict": _predict,
    "overlay": _own_overlay,
    "chart": _chart,
    "platform": lambda _: platform.install_platform(),
    "tls": lambda options: tls.encrypt(options.issuer),
    "cards": lambda options: print("\n".join(cards.write_component(options.models))),
}


if __name__ == "__main__":
    sys.exit(main())

"""What ``vision`` can do, and which room does it.

A room is imported when its command is called, and not before: nobody needs torch for a status.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One verb.

    Attributes:
        group: heading in the help.
        about: one line of help.
        module: whose ``main(arguments)`` it is; returns an exit status.
        before: arguments that go before the caller's.
        environment: which of the environments that make installs can run it.
        extras: what ``pip install`` needs for it.
    """

    group: str
    about: str
    module: str
    before: tuple[str, ...]
    environment: str
    extras: str


def _local(about: str, module: str, environment: str, extras: str) -> Command:
    return Command("On this machine", about, module, (), environment, extras)


def _cluster(about: str, *before: str) -> Command:
    return Command("On a cluster", about, "cluster.__main__", before, "transformer", "transformer")


def _rollout(about: str, verb: str) -> Command:
    environment, extras = "rollout", "transformer,rollout"
    return Command("Rollouts", about, "rollout.__main__", (verb,), environment, extras)


def _disaster(about: str, verb: str) -> Command:
    return Command("Disaster", about, "disaster.__main__", (verb,), "disaster", "disaster")


SERVING = "transformer,predictor,torch"
TRAINING = "transformer,predictor,torch,train"

COMMANDS = {
    "serve": _local("start the models", "local.__main__", "transformer", SERVING),
    "up": _local(
        "start models, accounts, page and edge",
        "edge.up",
        "accounts",
        f"{SERVING},accounts,edge",
    ),
    "predict": _local("ask a running service about an image", "client.predict", "transformer", ""),
    "evaluate": _local(
        "send a model's test set to the service", "training.evaluate_service", "training", TRAINING
    ),
    "import": _local(
        "make a revision from a network that was trained elsewhere",
        "training.importing.__main__",
        "training",
        TRAINING,
    ),
    "train": _local("train a model, write a revision", "training.__main__", "training", TRAINING),
    "accounts": _local(
        "migrate, role, invoices, reconcile, retain, backup",
        "accounts.__main__",
        "accounts",
        "accounts",
    ),
    "experiment": Command(
        "Rollouts",
        "several revisions side by side: A/B/n and shadows, with a report",
        "accounts.__main__",
        ("experiment",),
        "accounts",
        "accounts",
    ),
    "cluster": _cluster("create or delete a minikube with Knative and KServe"),
    "lock-platform": _cluster("pin the platform's manifests by checksum", "lock-platform"),
    "images": _cluster("build all images, load them into minikube", "images"),
    "render": _cluster("write an overlay's manifests to build/", "render"),
    "deploy": Command(
        "On a cluster",
        "apply an overlay and wait until it is ready",
        "cli.deploy",
        (),
        "transformer",
        "transformer,rollout",
    ),
    "undeploy": _cluster("take an overlay away", "undeploy"),
    "predict-cluster": _cluster("send one image through the gateway", "predict"),
    "expose": Command(
        "On a cluster",
        "a public address by a tunnel, behind accounts",
        "cluster.expose",
        (),
        "transformer",
        "transformer",
    ),
    "overlay": _cluster("write an overlay with models of your own", "overlay"),
    "pack": Command(
        "On a cluster",
        "make an OCI image of one revision, for storageUri: oci://…",
        "cluster.pack",
        (),
        "transformer",
        "",
    ),
    "cards": _cluster("write the component of model cards", "cards"),
    "roles": Command(
        "On a cluster",
        "who may do what; component `roles` from it; compare with a cluster",
        "cluster.roles",
        (),
        "transformer",
        "transformer",
    ),
    "registry": Command(
        "Rollouts",
        "publish, pull, verify, alias, retire revisions; what was live when",
        "registry.__main__",
        (),
        "rollout",
        "registry",
    ),
    "watch": Command(
        "New data",
        "make better revisions of what arrives in the inbox",
        "lifecycle.watch",
        (),
        "training",
        "transformer,predictor,torch,train,registry",
    ),
    "lifecycle": Command(
        "New data",
        "list, show, start, approve, reject runs from data to revisions",
        "lifecycle.__main__",
        (),
        "rollout",
        "registry",
    ),
    "data": Command(
        "Rollouts",
        "add labelled pictures to a data set of the registry, checked; list, show, pull",
        "training.arrival.__main__",
        (),
        "training",
        f"{TRAINING},registry",
    ),
    "feedback": Command(
        "New data",
        "part: what customers say was wrong, as a part for the inbox",
        "training.arrival.feedback",
        (),
        "training",
        f"{TRAINING},registry",
    ),
    "monitor": Command(
        "Monitoring",
        "Prometheus, Alertmanager and panels; rules, what is left of the error budgets",
        "monitoring.__main__",
        (),
        "transformer",
        "monitoring",
    ),
    "backup": _disaster("registry, accounts, a namespace's objects; list, verify, key", "backup"),
    "restore": _disaster("a backup, where nothing is", "restore"),
    "drill": Command(
        "Disaster",
        "destroy, restore and compare on this machine; prints RPO and RTO",
        "disaster.__main__",
        ("drill",),
        "training",
        f"{TRAINING},registry,accounts,disaster",
    ),
    "canary": _rollout("give a new revision a share of the traffic", "canary"),
    "status": _rollout("show who is stable, who is latest, who gets what", "status"),
    "promote": _rollout("give the canary everything", "promote"),
    "rollback": _rollout("take a canary back, or go down the history", "rollback"),
    "history": _rollout("show what was rolled out, when, by whom and why", "history"),
    "rollout": _rollout("roll a revision out step by step, on evidence", "rollout"),
}

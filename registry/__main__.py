"""``vision registry``: revisions in object storage, and which of them was live when.

Exit statuses: 0 done, 2 wrong arguments, 3 refused, 4 not found, 5 the store, 6 damaged.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifact import ArtifactError, open_revision
from common.table import table
from registry.command import Command, Shown, run
from registry.comparison import differences
from registry.entry import Action, Entry
from registry.manifests import as_list, objects
from registry.mlflow_folder import write_folder
from registry.mlflow_server import register
from registry.opening import check_conditions
from registry.revisions import Registry
from registry.signing import make_key
from registry.state import State


def main(arguments: list[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    return run(COMMANDS[options.command], options, environment, errors=(ArtifactError,))


def _init(registry: Registry, options: argparse.Namespace) -> Shown:
    done = registry.store.set_up()
    check_conditions(registry.store)
    done.append(f"{registry.store.url} enforces conditional writes")
    if options.key is not None:
        done.append(f"signing key: {options.key}; its public key: {make_key(options.key)}")
    return done, "\n".join(done)


def _publish(registry: Registry, options: argparse.Namespace) -> Shown:
    name, _, number = options.revision.partition("/")
    entry = registry.publish(open_revision(options.models, name, number), options.why)
    url = registry.url_of(name, number)
    return entry.as_json() | {"url": url}, f"{entry.identity} is published: {url}"


def _list(registry: Registry, options: argparse.Namespace) -> Shown:
    state = registry.state()
    rows = [
        (
            f"{model}/{revision}",
            state.published[model, revision].at,
            state.published[model, revision].by,
            ", ".join(_aliases(state, model, revision)),
            ", ".join(dict.fromkeys(t.service for t in _now(state, model, revision))),
        )
        for model in state.models()
        if options.model in ("", model)
        for revision in state.revisions(model)
    ]
    head = ("revision", "published", "by", "aliases", "live in")
    return [dict(zip(head, row, strict=True)) for row in rows], table(head, rows)


def _show(registry: Registry, options: argparse.Namespace) -> Shown:
    model, revision = _resolved(registry, options.revision)
    card = registry.card(model, revision)
    return json.loads(card.to_json()), card.to_json().rstrip()


def _diff(registry: Registry, options: argparse.Namespace) -> Shown:
    cards = [registry.card(*_resolved(registry, name)) for name in (options.one, options.other)]
    found = differences(*cards)
    rows = [(path, _short(old), _short(new)) for path, old, new in found]
    head = ("field", cards[0].identity, cards[1].identity)
    return [{"field": path, "before": old, "after": new} for path, old, new in found], table(
        head, rows
    )


def _render(registry: Registry, options: argparse.Namespace) -> Shown:
    found = objects(
        registry,
        *_resolved(registry, options.revision),
        options.local_cache,
        options.service_account,
    )
    return found, as_list(found)


def _pull(registry: Registry, options: argparse.Namespace) -> Shown:
    model, selector = _parts(options.revision)
    folder = registry.pull(model, selector, options.models)
    return {"folder": str(folder)}, str(folder)


def _export(registry: Registry, options: argparse.Namespace) -> Shown:
    model, selector = _resolved(registry, options.revision)
    with tempfile.TemporaryDirectory() as root:
        registry.pull(model, selector, Path(root))
        revision = open_revision(Path(root), model, selector)
        if "://" in options.mlflow:
            found = register(revision, options.mlflow)
            text = found.uri if found.is_new else f"{found.uri} is it already: nothing changed"
            return found._asdict(), text
        folder = write_folder(revision, Path(options.mlflow))
    return {"folder": str(folder)}, str(folder)


def _verify(registry: Registry, options: argparse.Namespace) -> Shown:
    entries = registry.history.entries()
    state = State.after(entries)
    wanted = [
        (model, revision)
        for model in state.models()
        for revision in state.revisions(model)
        if options.revision in (None, f"{model}/{revision}")
    ]
    if options.revision and not wanted:
        wanted = [_resolved(registry, options.revision)]
    files = sum(registry.verify(*pair) for pair in wanted)
    found = {"entries": len(entries), "revisions": len(wanted), "files": files}
    text = ", ".join(f"{count} {name}" for name, count in found.items())
    return found, f"{text}: one chain, every byte as published"


def _alias(registry: Registry, options: argparse.Namespace) -> Shown:
    model, revision = _resolved(registry, options.revision)
    entry = registry.alias(model, options.alias, revision, options.why)
    return entry.as_json(), f"{model}/{options.alias} is {entry.identity}"


def _retire(registry: Registry, options: argparse.Namespace) -> Shown:
    entry = registry.retire(*_parts(options.revision), options.why)
    return entry.as_json(), f"{entry.identity} is retired"


def _history(registry: Registry, options: argparse.Namespace) -> Shown:
    entries = registry.history.entries()
    if options.at:
        times = State.after(entries).live_at(options.at)
        head = ("service", "revision", "since", "until", "by", "why")
        rows = [
            (t.service, f"{t.model}/{t.revision}", t.since, t.until or "now", t.by, t.why)
            for t in times
        ]
        return [asdict(t) for t in times], table(head, rows)
    chosen = [e for e in entries if options.model in ("", e.model)][-options.last :]
    return [entry.as_json() for entry in chosen], table(HISTORY_HEAD, [_row(e) for e in chosen])


def _lineage(registry: Registry, options: argparse.Namespace) -> Shown:
    model, revision = _resolved(registry, options.revision)
    entries = registry.history.entries()
    card = registry.card(model, revision)
    told = [e for e in entries if (e.model, e.revision) == (model, revision)]
    times = [t for t in State.after(entries).live if (t.model, t.revision) == (model, revision)]
    parts = [] if card.data is None else _parts_of(entries, card.data.digest)
    document = {
        "revision": card.identity,
        "data": None if card.data is None else asdict(card.data),
        "parts": [e.as_json() for e in parts],
        "parent": card.parent,
        "trained": card.created,
        "training": card.training,
        "history": [e.as_json() for e in told],
        "live": [asdict(t) for t in times],
    }
    data = "not known" if card.data is None else f"{card.data.name}, {card.data.digest}"
    lines = [
        f"data      {data}",
        *(
            f"  part    {e.at} by {e.by}: {e.details['images']} pictures, {e.details['part']}"
            for e in parts
        ),
        f"parent    {card.parent or 'none that is known'}",
        f"trained   {card.created or 'not known'}",
        *(f"{e.at}  {e.action.value} by {e.by}{f': {e.why}' if e.why else ''}" for e in told),
        *(f"live      {t.service}: {t.since} to {t.until or 'now'}" for t in times),
    ]
    return document, "\n".join(lines)


def _parts_of(entries: list[Entry], digest: str) -> list[Entry]:
    """What a version of a data set in the store was made of, in order."""
    added = [e for e in entries if e.action is Action.DATA_ADDED]
    for last in added:
        if last.details["version"] == digest:
            name = last.details["data"]
            return [e for e in added if e.details["data"] == name and e.number <= last.number]
    return []


HISTORY_HEAD = ("number", "when", "who", "what", "revision", "where", "why")


def _row(entry: Entry) -> tuple[str, ...]:
    told = (entry.details.get(key) for key in ("service", "alias", "data"))
    where = str(next((place for place in told if place), ""))
    what = entry.identity if entry.model else ""
    return (str(entry.number), entry.at, entry.by, entry.action.value, what, where, entry.why)


def _aliases(state: State, model: str, revision: str) -> list[str]:
    return [a for (m, a), r in state.aliases.items() if (m, r) == (model, revision)]


def _now(state: State, model: str, revision: str) -> list[Any]:
    return [t for t in state.live if not t.until and (t.model, t.revision) == (model, revision)]


def _parts(identity: str) -> tuple[str, str]:
    model, _, revision = identity.partition("/")
    return model, revision


def _resolved(registry: Registry, identity: str) -> tuple[str, str]:
    model, selector = _parts(identity)
    return model, registry.state().resolve(model, selector)


def _short(value: Any) -> str:
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _identity(text: str) -> str:
    if text.count("/") != 1 or not all(text.split("/")):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME/REVISION")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision registry", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--by", default="", help="who is named in the history")
    common.add_argument("--why", default="", help="for the history")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, about: str, *places: str, models: bool = False) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about, parents=[common])
        for place in places:
            command.add_argument(place, type=_identity, metavar="NAME/REVISION")
        if models:
            command.add_argument("--models", type=Path, default=Path("models"), metavar="FOLDER")
        return command

    init = add("init", "make the store, switch versions on, try its conditional writes")
    init.add_argument("--key", type=Path, help="also make a signing key there")
    add("publish", "put a revision of --models into the store", "revision", models=True)
    add("list", "revisions, aliases, what is live").add_argument("model", nargs="?", default="")
    add("show", "a revision's model card", "revision")
    add("diff", "what two revisions differ in", "one", "other")
    add("pull", "fetch a revision, or what an alias stands for", "revision", models=True)
    export = add("export", "write a revision as MLflow's model, or register it there", "revision")
    export.add_argument(
        "--mlflow", required=True, metavar="FOLDER|URI", help="a new folder, or http://, sqlite://"
    )
    rendered = add("render", "Kubernetes objects that serve a revision, for kubectl", "revision")
    rendered.add_argument(
        "--local-cache", default="", metavar="NODES", help="kept on a LocalModelNodeGroup, too"
    )
    rendered.add_argument("--service-account", default="", help="with the bucket's secret")
    verify = add("verify", "compare the history's chain, and every byte, with what was published")
    verify.add_argument("revision", nargs="?", type=_identity, metavar="NAME/REVISION")
    add("alias", "give a revision a name that may move", "revision").add_argument("alias")
    add("retire", "delete a revision that is neither live nor a way back", "revision")
    history = add("history", "who did what, when and why; or what was live --at a time")
    history.add_argument("model", nargs="?", default="")
    history.add_argument("--at", default="", metavar="2026-11-29T14:03:00Z")
    history.add_argument("--last", type=int, default=50, help="entries (50)")
    add("lineage", "data, training, rollouts and live times of a revision", "revision")
    return parser


COMMANDS: dict[str, Command] = {
    "init": _init,
    "publish": _publish,
    "list": _list,
    "show": _show,
    "diff": _diff,
    "pull": _pull,
    "export": _export,
    "render": _render,
    "verify": _verify,
    "alias": _alias,
    "retire": _retire,
    "history": _history,
    "lineage": _lineage,
}

if __name__ == "__main__":
    sys.exit(main())

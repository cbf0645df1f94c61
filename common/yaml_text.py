"""YAML as people read it: no references, and texts of several lines as they are."""

from __future__ import annotations

from typing import Any

import yaml

LINE_CHARACTERS = 10_000


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def yaml_text(document: object) -> str:
    """A document with its keys in their order; no line is broken."""
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE_CHARACTERS
    )

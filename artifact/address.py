"""Where the revision of one pod lies, as ``storageUri`` says it, and which revision that is."""

from __future__ import annotations

import re
from dataclasses import dataclass

IN_FOLDERS = re.compile(
    r"(?P<before>[a-z][a-z0-9+.-]*://[^/]+/(?:.+/)?(?P<model>[^/:]+)/)(?P<revision>[^/:]+)/*"
)
"""``s3://bucket/models/flowers/3``."""

BY_TAG = re.compile(
    r"(?P<before>(?:oci(?:\+native)?|hf)://(?:.+/)?(?P<model>[^/:@]+):)(?P<revision>[^/:@]+)"
)
"""``oci://registry.example.com/flowers:3``, ``hf://organisation/flowers:3``."""

TAGGED = ("oci://", "oci+native://", "hf://")


@dataclass(frozen=True)
class Address:
    """A ``storageUri`` that ends in a model's name and a revision of it.

    Attributes:
        before: all of it in front of the revision.
    """

    before: str
    model: str
    revision: str

    @classmethod
    def read(cls, uri: str) -> Address | None:
        """None where it does not end so: a tree of models, an image by its digest."""
        found = (BY_TAG if uri.startswith(TAGGED) else IN_FOLDERS).fullmatch(uri)
        return None if found is None else cls(**found.groupdict())

    @classmethod
    def within(cls, store: str, model: str, revision: str) -> str:
        """The address of a revision in a store: a bucket, a claim, an image registry."""
        return f"{store.rstrip('/')}/{model}{':' if store.startswith(TAGGED) else '/'}{revision}"

    def of(self, revision: str) -> str:
        """Where another revision of the model lies, if they lie side by side."""
        return self.before + revision

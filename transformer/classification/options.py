"""What a request of classification may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transformer.parameters import count
from transformer.pictures.payload import PictureOptions


@dataclass(frozen=True)
class ClassificationOptions(PictureOptions):
    """``top_k`` None means the server's default."""

    names: ClassVar[tuple[str, ...]] = ("top_k", *PictureOptions.names)
    integers: ClassVar[tuple[str, ...]] = ("top_k",)

    top_k: int | None = None

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        return {**super()._chosen(values, accept), "top_k": count(values, "top_k")}

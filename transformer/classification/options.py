"""What a request of classification may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transformer.parameters import count, share
from transformer.pictures.payload import PictureOptions


@dataclass(frozen=True)
class ClassificationOptions(PictureOptions):
    """What None stands for is the server's default, or the contract's thresholds.

    Attributes:
        threshold: of every label, where a picture may have many.
    """

    names: ClassVar[tuple[str, ...]] = ("top_k", "threshold", *PictureOptions.names)
    integers: ClassVar[tuple[str, ...]] = ("top_k",)

    top_k: int | None = None
    threshold: float | None = None

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        return {
            **super()._chosen(values, accept),
            "top_k": count(values, "top_k"),
            "threshold": share(values, "threshold"),
        }

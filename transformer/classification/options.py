"""What a request of classification may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from transformer.parameters import choice, count, share
from transformer.pictures.payload import PictureOptions


class Several(str, Enum):
    """What is done where a picture has several subjects."""

    FIRST = "first"
    ALL = "all"
    REFUSE = "refuse"


@dataclass(frozen=True)
class ClassificationOptions(PictureOptions):
    """What None stands for is the server's default, or the contract's thresholds.

    Attributes:
        threshold: of every label, where a picture may have many.
    """

    names: ClassVar[tuple[str, ...]] = ("top_k", "threshold", "several", *PictureOptions.names)
    integers: ClassVar[tuple[str, ...]] = ("top_k",)

    top_k: int | None = None
    threshold: float | None = None
    several: Several = Several.FIRST

    @classmethod
    def _chosen(cls, values: Mapping[str, Any], accept: str) -> dict[str, Any]:
        several = choice(values, "several", [item.value for item in Several])
        return {
            **super()._chosen(values, accept),
            "top_k": count(values, "top_k"),
            "threshold": share(values, "threshold"),
            "several": Several(several or Several.FIRST),
        }

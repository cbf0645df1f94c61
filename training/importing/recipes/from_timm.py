"""timm: ``pretrained_cfg``, as ``timm.data.create_transform`` reads it for evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MODES = {1: "L", 3: "RGB"}


def read_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that timm itself evaluates the network with."""
    from timm.data.config import resolve_data_config

    known = resolve_data_config(pretrained_cfg=dict(configuration))
    channels, height, width = known["input_size"]
    before = [math.floor(side / known["crop_pct"]) for side in (height, width)]
    frame: dict[str, Any] = {"kind": "resize", "crop": [height, width]}
    if known["crop_mode"] == "squash":
        frame["resize"] = {"exact": before}
    elif known["crop_mode"] == "border":
        frame["resize"] = {"fit": before}
        frame["fill"] = [round(255 * value) for value in known["mean"]]
    elif before[0] == before[1]:
        frame["resize"] = {"short_side": before[0]}
    else:
        frame["resize"] = {"cover": before}
    frame["interpolation"] = known["interpolation"]
    return {
        "mode": MODES[channels],
        "height": height,
        "width": width,
        "mean": list(known["mean"]),
        "std": list(known["std"]),
        "frame": frame,
    }


def read_labels(configuration: Mapping[str, Any], outputs: int) -> tuple[str, ...]:
    """Names of the classes; empty where timm has none for so many outputs."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if names := configuration.get("label_names"):
        described = configuration.get("label_descriptions") or {}
        return tuple(str(described.get(name, name)) for name in names)
    if configuration.get("num_classes") != outputs:
        return ()
    try:
        subset = infer_imagenet_subset(dict(configuration))
        if subset is None:
            return ()
        found = ImageNetInfo(subset).label_descriptions(as_dict=False)
    except (AssertionError, KeyError, OSError):
        return ()
    return tuple(found) if len(found) == outputs else ()

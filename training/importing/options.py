"""The command's options, and the recipe that they say."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from training.importing.errors import ImportRefusedError
from training.importing.recipes.known import KNOWN

ROOT = Path(__file__).parents[2]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="vision import",
        description="Make a revision from a network that was trained elsewhere: docs/own-model.md.",
    )
    made.add_argument("name", help="of the model, a-z, 0-9 and -")
    made.add_argument(
        "source",
        help="weights (.pt, .pth, .safetensors), a torch.export program (.pt2), TorchScript, an "
        "ONNX file, a Hugging Face or MLflow folder, models:/NAME/VERSION of MLflow's registry, "
        "torchvision:NAME or timm:NAME",
    )
    made.add_argument("--revision", default="", help="default: the next number")
    made.add_argument("--models", type=Path, default=ROOT / "models", help="folder of revisions")
    network = made.add_argument_group("the network of weights")
    network.add_argument(
        "--network", default="", help="module:callable, torchvision:NAME, timm:NAME"
    )
    network.add_argument("--arguments", type=_mapping, default={}, help="of it, as a JSON object")
    network.add_argument(
        "--code", type=Path, help="folder of its module; default: the source's, or this"
    )
    network.add_argument("--pretrained", default="", help="torchvision's name of the weights")
    network.add_argument("--seed", type=int, help="random weights, for a trial")
    outputs = made.add_argument_group("what it answers")
    outputs.add_argument("--task", default="", help="default: told by the outputs' shapes")
    outputs.add_argument("--output", default="", help="of several outputs, by name or number")
    outputs.add_argument(
        "--contract", type=Path, help="JSON of what a task's contract has more: docs/tasks.md"
    )
    outputs.add_argument("--activation", choices=("softmax", "sigmoid", "none"), default="")
    outputs.add_argument("--labels", type=Path, help="one a line, or JSON")
    outputs.add_argument("--numbered-labels", action="store_true", help="0, 1, … where unknown")
    recipe = made.add_argument_group("how a picture becomes its tensor, where the source is silent")
    recipe.add_argument("--recipe", default="", help=f"FILE, or one of {', '.join(KNOWN)}")
    recipe.add_argument("--size", type=_size, help="of the network's input: 224, or HxW")
    recipe.add_argument("--resize", default="", help="256: the shorter side; HxW: exact; fit")
    recipe.add_argument("--interpolation", default="")
    recipe.add_argument("--mean", type=_numbers, help="one a channel, of the scaled pixel")
    recipe.add_argument("--std", type=_numbers, help="likewise")
    recipe.add_argument("--scale", type=float, help="of a byte; default 1/255")
    recipe.add_argument("--bgr", action="store_true", help="channels as OpenCV has them")
    recipe.add_argument("--grey", action="store_true", help="one channel")
    recipe.add_argument("--pictures", type=Path, help="label/picture.jpg, to find the recipe by")
    checks = made.add_argument_group("checks")
    checks.add_argument("--samples", type=Path, help="folder of pictures that both are asked")
    checks.add_argument(
        "--tolerance", type=float, default=1e-4, help="largest difference of answers"
    )
    confined = made.add_argument_group("the process that opens it")
    confined.add_argument("--memory-gb", type=float, default=16.0)
    confined.add_argument("--seconds", type=float, default=600.0)
    confined.add_argument(
        "--without-sandbox",
        action="store_true",
        help="with all your rights: for your own files",
    )
    return made


def recipe_of(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Fields of ``contract.input`` that are said, and the name of a known recipe.

    Raises:
        ImportRefusedError: a file cannot be read, or options contradict each other.
    """
    found: dict[str, Any] = {}
    known = ""
    if options.recipe in KNOWN:
        known = options.recipe
    elif options.recipe:
        found = _read(Path(options.recipe))
    if options.size:
        found["height"], found["width"] = options.size
    if options.resize or options.interpolation:
        found["frame"] = _frame(options)
    for name in ("mean", "std", "scale"):
        if getattr(options, name) is not None:
            found[name] = getattr(options, name)
    if options.bgr:
        found["channel_order"] = "BGR"
    if options.grey:
        found["mode"] = "L"
    elif "mode" not in found and len(found.get("mean", ())) in (1, 3):
        found["mode"] = "RGB" if len(found["mean"]) == 3 else "L"
    return found, known


def _frame(options: argparse.Namespace) -> dict[str, Any]:
    if not options.size or not options.resize:
        raise ImportRefusedError("--resize and --interpolation go with --size and each other")
    frame: dict[str, Any] = {"kind": "resize", "crop": list(options.size)}
    if options.resize == "fit":
        frame["resize"] = {"fit": list(options.size)}
    elif "x" in options.resize:
        frame["resize"] = {"exact": list(_size(options.resize))}
    else:
        frame["resize"] = {"short_side": _size(options.resize)[0]}
    if options.interpolation:
        frame["interpolation"] = options.interpolation
    return frame


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ImportRefusedError(f"--recipe {path} is no file, and none of {', '.join(KNOWN)}")
    return read_object("--recipe", path)


def read_object(option: str, path: Path) -> dict[str, Any]:
    """The JSON object in an option's file.

    Raises:
        ImportRefusedError: there is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ImportRefusedError(f"{option} {path}: {error}") from None
    if not isinstance(found, dict):
        raise ImportRefusedError(f"{option} {path} must be a JSON object")
    return found


def _mapping(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return found


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]

"""From what the source says and what the user says to one whole recipe."""

from __future__ import annotations

from typing import Any

from artifact import ImageInput, InvalidCardError
from artifact.fields import Fields
from training.importing.errors import ImportRefusedError, RecipeUnknownError
from training.importing.recipes.known import KNOWN, known_recipe
from training.importing.request import Request
from training.importing.source import Opened

NEEDED = ("height", "width", "mode", "mean", "std", "frame")
INPUT_NAME = "image"

ASK = """\
nobody says how a picture becomes the network's tensor ({missing}). Say it as it was trained:
  {of_source}--recipe NAME      one of {known}; with --size
  --recipe FILE      JSON with fields of contract.input (artifact/FORMAT.md)
  --size 224 --resize 256 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 [--interpolation bicubic]
                     [--scale 1] [--bgr] [--grey]: --resize 256 is the shorter side before the
                     crop, --resize 224x224 ignores the aspect, --resize fit keeps all of it
  --pictures FOLDER  pictures whose labels are known, FOLDER/label/picture.jpg: the recipe with
                     which the network is right most often is taken; with --size"""


def complete(opened: Opened, request: Request) -> ImageInput:
    """The contract's input.

    Raises:
        RecipeUnknownError: something is known to nobody.
        ImportRefusedError: it is no recipe.
    """
    fields = {**opened.recipe, **request.recipe}
    if request.known_recipe:
        height, width = size_of(fields)
        fields |= known_recipe(request.known_recipe, height, width) | request.recipe
    if missing := [name for name in NEEDED if name not in fields]:
        of_source = f"{opened.unknown}\n  " if opened.unknown else ""
        text = ASK.format(missing=listed(missing), of_source=of_source, known=", ".join(KNOWN))
        raise RecipeUnknownError(text)
    return read_input(fields)


def read_input(fields: dict[str, Any]) -> ImageInput:
    """As a card's ``contract.input`` is read; what is the same for all imports is filled in."""
    same = {"name": INPUT_NAME, "layout": "NCHW", "dtype": "FP32"}
    if fields["mode"] == "L":
        # As it was trained elsewhere: intensities are left alone unless the recipe says otherwise.
        same["polarity"] = "none"
    reader = Fields({"recipe": {**same, **fields}})
    try:
        spec = reader.read("recipe", ImageInput.read)
        reader.refuse()
    except InvalidCardError as error:
        faults = "\n".join(f"  {fault.field}: {fault.reason}" for fault in error.faults)
        raise ImportRefusedError(f"the recipe cannot be:\n{faults}") from None
    assert spec is not None
    return spec


def size_of(fields: dict[str, Any]) -> tuple[int, int]:
    """Height and width; raises RecipeUnknownError."""
    if "height" not in fields or "width" not in fields:
        raise RecipeUnknownError("the network's size is not known: say --size 224, or --size HxW")
    return fields["height"], fields["width"]


def listed(names: list[str]) -> str:
    return f"not known: {', '.join(names)}"

"""The eight photographs that come inside scikit-image and scikit-learn."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

FILES = {
    "skimage": [
        f"data/{name}"
        for name in (
            "astronaut.png",
            "chelsea.png",
            "coffee.png",
            "motorcycle_left.png",
            "retina.jpg",
            "rocket.jpg",
        )
    ],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
}


def photographs() -> list[Path]:
    """Their files, of 451 × 300 to 1411 × 1411 pixels; half of them are JPEGs.

    Raises:
        FileNotFoundError: a package or a file of it is not there.
    """
    found = []
    for package, files in FILES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"the package {package} is not installed")
        found += [Path(spec.origin).parent / file for file in files]
    for path in found:
        if not path.exists():
            raise FileNotFoundError(path)
    return found

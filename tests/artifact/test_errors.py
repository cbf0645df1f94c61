from __future__ import annotations

import re

from artifact import errors


def test_the_tree_in_the_docstring_is_the_hierarchy() -> None:
    assert errors.__doc__
    drawn = set(re.findall(r"── (\w+)", errors.__doc__))
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value is not errors.ArtifactError
    }
    assert drawn == kinds
    assert all(issubclass(getattr(errors, name), errors.ArtifactError) for name in kinds)
    assert issubclass(errors.ArtifactError, ValueError)

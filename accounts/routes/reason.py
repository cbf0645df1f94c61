"""What somebody says who changes what is not their own."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from accounts.routes.asking import Body

Why = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class Reason(Body):
    """What somebody says who changes what is not their own."""

    why: Why

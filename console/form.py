"""The form that a request carries."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData

MAX_FIELDS = 100


async def read_form(request: Request) -> FormData:
    # No page has a form with a file, or with more fields than there may be models.
    return await request.form(max_files=0, max_fields=MAX_FIELDS)


Form = Annotated[FormData, Depends(read_form)]
"""Parameter of an endpoint. The endpoint itself can be an ordinary function, which FastAPI runs in
a thread: the database blocks."""

"""The form that a request carries."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData


async def read_form(request: Request) -> FormData:
    return await request.form()


Form = Annotated[FormData, Depends(read_form)]
"""Parameter of an endpoint. The endpoint itself can be an ordinary function, which FastAPI runs in
a thread: the database blocks."""

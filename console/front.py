"""The first screen: what models there are, what is known of them, and an answer at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from accounts.errors import NotFoundError
from accounts.service import Service
from console.canary import read_live
from console.cards import Cards, samples_of
from console.pages import Pages
from console.served import ServedCards
from console.visit import Visits

SAMPLES = Path(__file__).parent / "static" / "samples"
MAX_SAMPLES = 3


def front_page(service: Service, visits: Visits, pages: Pages) -> APIRouter:
    """The page at ``/``, and a page a revision with its card."""
    router = APIRouter(include_in_schema=False)
    settings = service.settings
    cards = Cards(settings.model_root)
    served = ServedCards(
        cards, settings.model_revisions, service.database, lambda: read_live(settings)
    )
    models = settings.model_names
    samples = sorted(path.name for path in SAMPLES.iterdir())

    def known(model: str) -> dict[str, Any]:
        """What the page's script has to know of a model."""
        card = served.find(model)
        if card is None:
            return {"name": model, "revision": "", "query": "", "samples": []}
        return {
            "name": model,
            "revision": card.revision,
            "query": card.query,
            "samples": samples_of(card, samples)[:MAX_SAMPLES],
            "labels": card.labels,
            "colours": card.colours,
        }

    @router.get("/")
    def try_it_on(request: Request) -> Response:
        return pages.render(
            request,
            visits.of(request),
            "try",
            models=[known(model) for model in models],
            card=served.find(models[0]) if models else None,
            tries=settings.tries_per_day,
            url=settings.public_url,
        )

    @router.get("/models/{model}/{revision}")
    def card_page(request: Request, model: str, revision: str) -> Response:
        card = cards.find(model, revision)
        if card is None:
            raise NotFoundError("nothing is known of that revision here")
        return pages.render(request, visits.of(request), "model", card=card)

    @router.get("/models/{model}/{revision}/{name}")
    def picture(model: str, revision: str, name: str) -> Response:
        path = cards.picture(model, revision, name)
        if path is None:
            raise NotFoundError("there is nothing at this URL")
        # A revision never changes.
        return FileResponse(path, headers={"cache-control": "public, max-age=86400"})

    return router

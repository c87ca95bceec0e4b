"""Routes of the service."""

import io
import secrets
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from caan_hf.gallery import GalleryPhoto

from .answers import (
    ExplanationAnswer,
    GalleryAnswer,
    GalleryName,
    Problem,
    SearchAnswer,
    SearchForm,
    SearchQuery,
    SketchQuery,
    Strokes,
)
from .searcher import Answer, Searcher
from .state import Service


def _shared(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(_shared)]
BEARER = HTTPBearer(auto_error=False)


class KeyedRoute(APIRoute):
    """A route that needs the key, if the service has one. A dependency would check it after the body was read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function that answers a request."""
        answer = super().get_route_handler()

        async def answer_with_key(request: Request) -> Response:
            await _require_key(request)
            return await answer(request)

        return answer_with_key


async def _require_key(request: Request) -> None:
    key, given = _shared(request).key, await BEARER(request)
    sent = given.credentials if given else ""
    if key is not None and not secrets.compare_digest(sent.encode(), key.encode()):
        detail = "a key is required. Send it as the header Authorization: Bearer KEY."
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The sketch or photo cannot be used."},
    401: {"model": Problem, "description": "The key is missing or wrong."},
    404: {"model": Problem, "description": "There is no such gallery or photo."},
    413: {"model": Problem, "description": "The file is too large."},
    422: {"model": Problem, "description": "A parameter is missing, unknown or out of range."},
    503: {"model": Problem, "description": "Too many requests wait, or the gallery cannot be read."},
    504: {"model": Problem, "description": "The answer takes too long."},
}
NOTHING = (
    "there is nothing to search for. Send a form (multipart/form-data) with a sketch, or words: a picture in the field "
    "sketch, words in the field text, or both."
)
open_routes = APIRouter()
routes = APIRouter(route_class=KeyedRoute, dependencies=[Depends(BEARER)], responses=ERRORS)  # BEARER for OpenAPI
Sketch = Annotated[bytes, File(description="Picture of a sketch, or strokes as JSON.")]
Photo = Annotated[bytes, File(description="Photo of any format.")]
PhotoId = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="`id` of a result.")]
JPEG: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": {"image/jpeg": {}}}}}
PNG: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": {"image/png": {}}}}}
TEXT: dict[str, Any] = {"response_class": Response, "responses": {200: {"content": {"text/plain": {}}}}}


@open_routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """Health check. The models are loaded before the service listens."""
    return {"status": "ok"}


@open_routes.get("/", include_in_schema=False)
async def start() -> RedirectResponse:
    """The page that describes the requests."""
    return RedirectResponse("docs")


@routes.get("/metrics", **TEXT)
def metrics(service: Shared) -> Response:
    """Metrics for Prometheus."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@routes.get("/v1/galleries")
async def galleries(service: Shared) -> list[GalleryAnswer]:
    """The galleries that can be searched."""
    return await service.compute(
        lambda: [GalleryAnswer.of(name, searcher) for name, searcher in service.searchers.items()]
    )


@routes.post("/v1/search")
async def search(
    request: Request,
    service: Shared,
    query: Annotated[SketchQuery, Query()],
    form: Annotated[SearchForm, Form(media_type="multipart/form-data")],
) -> SearchAnswer:
    """Find photos by a sketch (a picture, or strokes in a file), by words, or by both."""
    sent = await request.form()
    if repeated := [name for name in SearchForm.model_fields if len(sent.getlist(name)) > 1]:
        raise HTTPException(400, f"more than one field {repeated[0]}. Send one search per request.")
    sketch = None if form.sketch is None else await form.sketch.read()
    if sketch is None and not (form.text or "").strip():
        raise HTTPException(400, NOTHING)
    return await _search(service, query, sketch, form.text)


@routes.post("/v1/search/strokes")
async def search_strokes(service: Shared, query: Annotated[SketchQuery, Query()], drawing: Strokes) -> SearchAnswer:
    """Find photos by strokes, alone or with words."""
    return await _search(service, query, drawing.model_dump_json(include={"strokes"}).encode(), drawing.text)


@routes.post("/v1/search/photo")
async def search_photo(service: Shared, query: Annotated[SearchQuery, Query()], photo: Photo) -> SearchAnswer:
    """Find photos like a photo."""
    return await _similar(service, query, photo)


@routes.get("/v1/photos/{id}", **JPEG)
async def photo(service: Shared, id: PhotoId, gallery: GalleryName = None) -> Response:
    """A photo of a gallery as a JPEG, reduced for display; its thumbnail if the file is gone."""
    return await _jpeg(service, gallery, id, Searcher.photo)


@routes.get("/v1/photos/{id}/thumbnail", **JPEG)
async def thumbnail(service: Shared, id: PhotoId, gallery: GalleryName = None) -> Response:
    """A small picture of a photo as a JPEG."""
    return await _jpeg(service, gallery, id, Searcher.picture)


@routes.get("/v1/photos/{id}/similar")
async def similar(service: Shared, id: PhotoId, query: Annotated[SearchQuery, Query()]) -> SearchAnswer:
    """Find photos like a photo of the gallery."""
    return await _similar(service, query, id)


@routes.post("/v1/photos/{id}/explain")
async def explain(service: Shared, id: PhotoId, sketch: Sketch, gallery: GalleryName = None) -> ExplanationAnswer:
    """Matching regions of a sketch and a photo of the gallery."""

    def explained() -> ExplanationAnswer:
        name, searcher, found = service.find(gallery, id)
        return ExplanationAnswer.of(name, id, searcher.explain(sketch, found))

    return await service.compute(explained)


@routes.post("/v1/photos/{id}/explain/figure", **PNG)
async def explain_figure(service: Shared, id: PhotoId, sketch: Sketch, gallery: GalleryName = None) -> Response:
    """Sketch and photo side by side with their matching regions, as a PNG."""

    def drawn() -> bytes:
        _, searcher, found = service.find(gallery, id)
        return _encoded(searcher.explain(sketch, found).figure(), "PNG")

    return Response(await service.compute(drawn), media_type="image/png")


async def _search(service: Service, query: SketchQuery, sketch: bytes | None, text: str | None) -> SearchAnswer:
    name, searcher = service.searcher(query.gallery)
    answer = await service.compute(
        lambda: searcher.search(sketch, query.k, text=text, rerank=query.rerank, expand=query.expand, pictures=False)
    )
    return SearchAnswer.of(name, answer, show_paths=service.show_paths)


async def _similar(service: Service, query: SearchQuery, photo: bytes | str) -> SearchAnswer:
    """Search by the content of a photo, or by the id of a photo of the gallery."""

    def search() -> tuple[str, Answer]:
        name, searcher = service.searcher(query.gallery)
        wanted = service.find(query.gallery, photo)[2] if isinstance(photo, str) else photo
        return name, searcher.similar(wanted, query.k, expand=query.expand)

    name, answer = await service.compute(search)
    return SearchAnswer.of(name, answer, show_paths=service.show_paths)


async def _jpeg(
    service: Service, gallery: str | None, id: str, picture: Callable[[Searcher, GalleryPhoto], Image.Image]
) -> Response:
    def read() -> bytes:
        _, searcher, found = service.find(gallery, id)
        return _encoded(picture(searcher, found), "JPEG")

    return Response(await service.compute(read), media_type="image/jpeg")


def _encoded(image: Image.Image, kind: str) -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()

"""One patch: facts, pictures, probabilities and explanations."""

import asyncio
from concurrent.futures import Future
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from numpy.typing import NDArray

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.runs import thresholds
from bigearth_pipeline.serve.contents.stopping import Stopping
from bigearth_pipeline.serve.contents.stores import OpenStore
from bigearth_pipeline.serve.map.places import degrees, web_points
from bigearth_pipeline.serve.patch.explanations import WAITING, Explanations
from bigearth_pipeline.serve.patch.neighbours import neighbours
from bigearth_pipeline.serve.patch.pictures import Look, Pictures
from bigearth_pipeline.serve.patch.scores import Scores
from bigearth_pipeline.serve.routes import parameters as p
from bigearth_pipeline.serve.routes.aside import aside
from bigearth_pipeline.serve.routes.leaving import HasLeft

_KEPT = {"Cache-Control": "private, max-age=3600"}
_SCORES = 64
"""Requests for probabilities under way at a time, each with a record of 160 KB; further ones wait."""
_LOADING = 2
"""Requests for probabilities that begin at a time: a network may have to be loaded."""
DigitalNumber = Annotated[float | None, Query(ge=0, le=65535, allow_inf_nan=False)]
Gamma = Annotated[float | None, Query(ge=0.1, le=5, allow_inf_nan=False)]
ClassNumber = Annotated[int, Query(ge=0, le=18, description="Number of a class.")]
Method = Annotated[
    Literal["grad-cam", "integrated-gradients", "band-occlusion"], Query(description="Method of explanation.")
]


def patch_routes(contents: Contents, scores: Scores, stopping: Stopping) -> APIRouter:
    """Return the routes.

    Args:
        contents: what the server shows.
        scores: probabilities of patches.
        stopping: says that the server is to end.
    """
    router = APIRouter(prefix="/api/patches/{source}/{key}", tags=["patches"])
    pictures, explanations = Pictures(contents), Explanations(contents, stopping)
    explains, waiting = aside(WAITING + 1), asyncio.Semaphore(_SCORES)

    @aside(_LOADING)
    def begin(source: str, key: str, run: int) -> tuple[Future[NDArray[np.float32]], dict[str, Any]]:
        pending, predictor = scores.begin(run, source, key), contents.run(run).predictor()
        return pending, {"thresholds": thresholds(predictor), "trained": predictor.measured.tolist()}

    @router.get("", responses=p.refusals(404, 409))
    def facts(source: p.Source, key: p.Key) -> dict[str, Any]:
        """Return what is known of a patch, and the patches around it."""
        store = contents.source(source)
        return _of_upload(contents, source, key) if store is None else _of_store(store, contents.row(store, key))

    @router.get(
        "/picture.webp",
        response_class=Response,
        responses=p.refusals(404, 409) | p.content("image/webp", "A picture of 120 × 120 pixels."),
    )
    def picture(
        source: p.Source, key: p.Key, bands: Annotated[str, Query(max_length=20)] = "B04,B03,B02",
        low: DigitalNumber = None, high: DigitalNumber = None, gamma: Gamma = None,
    ) -> Response:  # fmt: skip
        """Return three bands as red, green and blue; `low` becomes black and `high` full brightness."""
        found = pictures.picture(source, key, Look(bands, low, high, gamma))
        # A browser keeps files on the disk, where nothing of an upload may stay.
        headers = None if contents.source(source) is None else _KEPT
        return Response(found, media_type="image/webp", headers=headers)

    @router.get(
        "/around.webp",
        response_class=Response,
        responses=p.refusals(404, 409) | p.content("image/webp", "A picture of 180 × 180 pixels."),
    )
    def around(source: p.Source, key: p.Key) -> Response:
        """Return a patch of a store and the eight around it in true colour; those that are absent are black."""
        return Response(pictures.around(source, key), media_type="image/webp", headers=_KEPT)

    @router.get("/scores", responses=p.refusals(404, 409))
    async def score(source: p.Source, key: p.Key, run: p.RunNumber) -> dict[str, Any]:
        """Return the probabilities of the 19 classes by a run, its thresholds, and which classes it was trained for."""
        async with waiting:
            pending, known = await begin(source, key, run)
            # Others may wait for the same, so that it does not end with this request.
            found = await asyncio.shield(asyncio.wrap_future(pending))
        return {"run": run, "probabilities": [round(each, 6) for each in found.tolist()]} | known

    @router.get("/explanation", responses=p.refusals(404, 409, 503))
    @explains
    def explanation(
        source: p.Source, key: p.Key, run: p.RunNumber, label: ClassNumber, method: Method, has_left: HasLeft
    ) -> dict[str, Any]:
        """Return weights of bands for the score of a class, and whether there is a map."""
        found = explanations.of(run, source, key, label, method, has_left)
        return {
            "bands": found.bands,
            "limit": found.limit,
            "probability": found.probability,
            "has_map": found.picture is not None,
        }

    @router.get(
        "/explanation.webp",
        response_class=Response,
        responses=p.refusals(404, 409, 503) | p.content("image/webp", "A map over true colour."),
    )
    @explains
    def explanation_map(
        source: p.Source, key: p.Key, run: p.RunNumber, label: ClassNumber, method: Method, has_left: HasLeft
    ) -> Response:
        """Return the map of an explanation over true colour: orange raises the score of the class, purple lowers it."""
        found = explanations.of(run, source, key, label, method, has_left)
        if found.picture is None:
            raise LookupError(f"{method} has no map")
        return Response(found.picture, media_type="image/webp")

    return router


def _of_store(store: OpenStore, row: int) -> dict[str, Any]:
    facts = store.store.index.facts(row)
    around = neighbours(store, row)
    return {
        "key": facts["key"],
        "source": store.name,
        "store": store.number,
        "folder": str(store.folder),
        "labels": store.labels[row].tolist(),
        "split": facts["split"],
        "country": facts["country"],
        "date": facts["date"].isoformat(),
        "crs": f"EPSG:{facts['epsg']}",
        "seasonal_snow": facts["seasonal_snow"],
        "cloud_or_shadow": facts["cloud_or_shadow"],
        "place": store.places.degrees_of(row),
        "neighbours": [
            {"key": store.store.index.key(each), "east": east, "south": south} for each, east, south in around
        ],
    }


def _of_upload(contents: Contents, source: str, key: str) -> dict[str, Any]:
    patch = contents.uploads.patch(source, key)
    upload = contents.uploads.get(source)
    return {
        "key": key,
        "source": source,
        "store": None,
        "folder": upload.title,
        "labels": None,
        "split": None,
        "country": None,
        "date": None,
        "crs": None if patch.place is None else f"EPSG:{patch.place[0]}",
        "seasonal_snow": None,
        "cloud_or_shadow": None,
        "place": None if patch.place is None else _place(*patch.place),
        "neighbours": [],
        "missing": patch.missing,
        "notes": list(upload.notes),
    }


def _place(epsg: int, ulx: float, uly: float) -> list[float] | None:
    """Return longitude and latitude of the middle of a patch; None for one without a place."""
    [point] = web_points(np.array([epsg]), np.array([ulx + 600.0]), np.array([uly - 600.0]))
    return list(degrees(*point.tolist())) if np.isfinite(point).all() else None

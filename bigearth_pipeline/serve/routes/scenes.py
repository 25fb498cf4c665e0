"""Predicted scenes as tiles."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.serve.routes import parameters as p
from bigearth_pipeline.serve.routes.aside import aside

_TILES = 1024
_TURNS = 4
"""Requests for tiles at a time; those of a scene are computed in sequence."""


def scene_routes(contents: Contents) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/scenes/{scene}", tags=["scenes"])
    tiles: Cache[bytes | None] = Cache(_TILES)

    @router.get(
        "/tiles/{z}/{x}/{y}.png",
        response_class=Response,
        responses=p.refusals(404, 409)
        | p.content("image/png", "A tile of 256 × 256 pixels.")
        | {204: {"description": "The scene does not reach into this tile."}},
    )
    @aside(_TURNS)
    def tile(
        scene: p.Number, z: p.Zoom, x: p.Column, y: p.Column, label: p.Label = None,
        threshold: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)] = 0.0,
    ) -> Response:  # fmt: skip
        """Return the probability of a class, or without `label` the colour of the most probable class, as PNG."""
        opened = contents.scene(scene)
        if max(x, y) >= 1 << z:
            return Response(status_code=204)
        found = tiles.get((scene, z, x, y, label, threshold), lambda: opened.tile(z, x, y, label, threshold))
        if found is None:
            return Response(status_code=204)
        return Response(found, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    return router

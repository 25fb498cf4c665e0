"""Contents of the server, and the outlines of land and borders."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from bigearth_pipeline.pictures.class_colours import COLOURS
from bigearth_pipeline.pictures.compose import COMPOSITIONS
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.map.outlines import outlines
from bigearth_pipeline.serve.patch.explanations import METHODS
from shards import BANDS, CLASSES


def overview_routes(contents: Contents) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api", tags=["overview"])

    @router.get("/about")
    def about() -> dict[str, Any]:
        """Return stores, runs and scenes with their numbers, and classes, bands and compositions."""
        return {
            "started": contents.started,
            "classes": [{"name": name, "colour": COLOURS[name]} for name in CLASSES],
            "bands": list(BANDS),
            "compositions": [{"name": each.name, "bands": ",".join(each.bands)} for each in COMPOSITIONS],
            "methods": list(METHODS),
            "stores": [store.about() for store in contents.stores],
            "runs": [run.about() | {"classes": run.num_classes()} for run in contents.runs],
            "scenes": [scene.about() for scene in contents.scenes],
        }

    @router.get("/outlines.json", response_class=Response)
    def land() -> Response:
        """Return land and borders of Europe as GeoJSON."""
        return Response(outlines(), media_type="application/geo+json", headers={"Cache-Control": "max-age=3600"})

    return router

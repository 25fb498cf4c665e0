"""Patches of a store on the map: vector tiles, and lists of the patches in a part of it."""

from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from numpy.typing import NDArray

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stores import OpenStore
from bigearth_pipeline.serve.map.filters import Filter
from bigearth_pipeline.serve.map.places import point_of
from bigearth_pipeline.serve.map.tiles import patch_tile
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.serve.routes import parameters as p
from shards.errors import InvalidValue

_TILES: Final = 2048
_FILTERS: Final = 32
_LISTED: Final = 60
"""Patches of a list at most."""
_KEPT: Final = {"Cache-Control": "private, max-age=3600"}
"""For the browser, of what is the same as long as the server runs; addresses on the page have the time of its start."""
Degrees = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)]


def map_routes(contents: Contents) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/stores/{store}", tags=["map"])
    tiles: Cache[bytes] = Cache(_TILES)
    chosen: Cache[NDArray[np.bool_]] = Cache(_FILTERS)

    def version(store: OpenStore, run: int | None) -> tuple[int, ...] | None:
        found = None if run is None else contents.run(run).predicted(store)
        return None if found is None else found.version

    def outcomes(store: OpenStore, run: int | None, label: int | None) -> NDArray[np.int8] | None:
        found = None if run is None else contents.run(run).predicted(store)
        return None if found is None else found.outcome(label)

    def passing(store: OpenStore, wanted: Filter, outcome: str | None, run: int | None) -> NDArray[np.bool_]:
        if outcome is not None and run is None:
            raise InvalidValue(f"the outcome {outcome} needs a run")

        def make() -> NDArray[np.bool_]:
            passes = wanted.of(store)
            if outcome is not None:
                results = outcomes(store, run, wanted.label)
                passes &= results == (outcome == "right") if results is not None else False
            return passes

        predicted = version(store, run)
        return chosen.get((store.number, wanted, outcome, run, predicted), make)

    @router.get(
        "/tiles/{z}/{x}/{y}.mvt",
        response_class=Response,
        responses=p.refusals(404, 409) | p.content("application/vnd.mapbox-vector-tile", "A vector tile."),
    )
    def tile(
        store: p.Number, z: p.Zoom, x: p.Column, y: p.Column, split: p.Split = None, country: p.Country = None,
        month: p.Month = None, label: p.Label = None, run: p.MaybeRun = None, outcome: p.Outcome = None,
    ) -> Response:  # fmt: skip
        """Return the patches of a tile that pass the filter, or cells with their number, as a Mapbox Vector Tile."""
        opened, wanted = contents.store(store), Filter(split, country, month, label)
        if max(x, y) >= 1 << z:
            return Response(b"", media_type="application/vnd.mapbox-vector-tile")
        passes = passing(opened, wanted, outcome, run)
        results = outcomes(opened, run, label)
        predicted = version(opened, run)
        found = tiles.get(
            (store, z, x, y, wanted, outcome, run, predicted),
            lambda: patch_tile(opened.places, (z, x, y), passes, opened.split[0], results),
        )
        # A run may be evaluated at any time, and then other patches are right.
        headers = _KEPT if run is None else None
        return Response(found, media_type="application/vnd.mapbox-vector-tile", headers=headers)

    @router.get("/patches", responses=p.refusals(404, 409))
    def patches(
        store: p.Number, west: Degrees = -180, south: Degrees = -85, east: Degrees = 180, north: Degrees = 85,
        split: p.Split = None, country: p.Country = None, month: p.Month = None, label: p.Label = None,
        run: p.MaybeRun = None, outcome: p.Outcome = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Return how many patches with their middle in a part of the map pass the filter, and the first of them."""
        opened = contents.store(store)
        passes = passing(opened, Filter(split, country, month, label), outcome, run)
        rows = _within(opened, passes, (west, south, east, north))
        names = opened.split[1]
        listed = [
            {
                "key": opened.store.index.key(row),
                "split": names[opened.split[0][row]],
                "country": opened.store.index.table["country"][row].as_py(),
                "row": row,
            }
            for row in rows[:_LISTED].tolist()
        ]
        return {"count": len(rows), "patches": listed}

    @router.get("/rows/{row}", responses=p.refusals(404))
    def key_of_row(store: p.Number, row: Annotated[int, p.Path(ge=0, lt=1 << 31)]) -> dict[str, str]:
        """Return the source and name of the patch of a row of the index, as tiles have it."""
        opened = contents.store(store)
        if row >= len(opened.store):
            raise LookupError(f"no row {row} in a store of {len(opened.store)} patches")
        return {"source": opened.name, "key": opened.store.index.key(row)}

    return router


def _within(store: OpenStore, passes: NDArray[np.bool_], box: tuple[float, float, float, float]) -> NDArray[np.int64]:
    """Return the rows of patches that pass and lie in a box of degrees, ascending."""
    west, south, east, north = box
    (left, top), (right, bottom) = point_of(west, north), point_of(east, south)
    x, y = store.places.points
    inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    found = np.zeros(len(passes), np.bool_)
    found[store.places.rows[inside]] = True
    return np.flatnonzero(found & passes)

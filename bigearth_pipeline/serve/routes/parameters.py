"""Parameters that several routes take, with their limits, and the answers that they share."""

from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query

from bigearth_pipeline.serve.map.places import CELLS_A_TILE, DEPTH
from shards.layout.facts import MAX_KEY

MOST_ZOOM: Final = DEPTH - CELLS_A_TILE

Number = Annotated[int, Path(ge=0, le=9999, description="Number of a store, run or scene, as /api/about lists them.")]
Source = Annotated[
    str, Path(pattern=r"^[su][0-9a-f]{1,16}$", description="Source of a patch: `s0` for store 0, `u…` for an upload.")
]
Key = Annotated[str, Path(pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_KEY}}}$", description="Name of a patch.")]
Zoom = Annotated[int, Path(ge=0, le=MOST_ZOOM, description="Zoom of a tile.")]
Column = Annotated[int, Path(ge=0, lt=2**MOST_ZOOM, description="Column or row of a tile.")]
Split = Annotated[Literal["train", "validation", "test"] | None, Query(description="Split of the patches.")]
Country = Annotated[str | None, Query(max_length=60, description="Country of the patches.")]
Month = Annotated[int | None, Query(ge=1, le=12, description="Month in which they were taken.")]
Label = Annotated[int | None, Query(ge=0, le=18, description="Number of a class.")]
RunNumber = Annotated[int, Query(ge=0, le=9999, description="Number of a run.")]
MaybeRun = Annotated[int | None, Query(ge=0, le=9999, description="Number of a run whose predictions count.")]
Outcome = Annotated[
    Literal["right", "wrong"] | None, Query(description="Patches that the run has right, or wrong; needs `run`.")
]

_DETAIL: Final = {
    "application/json": {
        "schema": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
    }
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of refusals, each with a line `detail`."""
    words = {
        400: "The request is not allowed.",
        404: "There is no such thing.",
        408: "The body has not come in time.",
        409: "It cannot be computed; the line says why.",
        413: "The body is too large.",
        415: "The upload is of no known kind.",
        503: "Too many requests wait for this; try again.",
    }
    return {status: {"description": words[status], "content": _DETAIL} for status in statuses}


def content(kind: str, words: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of an answer that is no JSON."""
    return {200: {"description": words, "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}

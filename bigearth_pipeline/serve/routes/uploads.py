"""Images of users: received, looked at as any patch is, forgotten."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, UploadFile

from bigearth_pipeline.scenes.inputs.description import parse_baseline
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Stopping
from bigearth_pipeline.serve.guard.requests import MOST_UPLOADS
from bigearth_pipeline.serve.patch.scores import BATCH, Scores
from bigearth_pipeline.serve.routes import parameters as p
from bigearth_pipeline.serve.routes.aside import aside
from bigearth_pipeline.serve.routes.leaving import HasLeft
from bigearth_pipeline.serve.upload.limits import MOST_BYTES, MOST_FILES
from bigearth_pipeline.serve.upload.receive import Receiver
from shards import CLASSES
from shards.errors import InvalidValue

_SCORED = 2
"""Uploads whose patches are scored at a time."""


def upload_routes(contents: Contents, scores: Scores, stopping: Stopping) -> APIRouter:
    """Return the routes.

    Args:
        contents: what the server shows.
        scores: probabilities of patches.
        stopping: says that the server is to end.
    """
    router = APIRouter(prefix="/api/uploads", tags=["uploads"])
    receiver = Receiver(stopping)

    @router.post("", responses=p.refusals(400, 408, 413, 415, 503))
    @aside(MOST_UPLOADS)
    def upload(
        has_left: HasLeft,
        files: Annotated[
            list[UploadFile],
            File(description=f"Band files, a zip of them, or a GeoTIFF; {MOST_FILES} files, {MOST_BYTES >> 20} MiB."),
        ],
        offset: Annotated[
            Literal["auto", "none"], Form(description="Subtract the offset of newer baselines.")
        ] = "auto",
        baseline: Annotated[str, Form(max_length=8, description="Processing baseline, such as 05.09.")] = "",
    ) -> dict[str, Any]:
        """Decode an image and keep its patches in memory, until 16 newer ones have come; nothing stays on disk."""
        try:
            known = parse_baseline(baseline) if baseline else None
        except ValueError as err:
            raise InvalidValue(str(err)) from err
        found = receiver.decode([(each.filename or "", each.file) for each in files], offset, known, has_left)
        return _about(contents, contents.uploads.keep(found))

    @router.get("/{source}", responses=p.refusals(404))
    def about(source: p.Source) -> dict[str, Any]:
        """Return what is known of an upload."""
        return _about(contents, source)

    @router.get("/{source}/scores", responses=p.refusals(404, 409, 503))
    @aside(_SCORED)
    def all_scores(source: p.Source, run: p.RunNumber, has_left: HasLeft) -> list[dict[str, Any]]:
        """Return the most probable class of each patch of an upload by a run."""
        found = []
        keys = [patch.key for patch in contents.uploads.get(source).patches]
        # A batch at a time: a patch that somebody looks at does not wait for all of them.
        for start in range(0, len(keys), BATCH):
            stopping.check(has_left)
            pending = [(key, scores.begin(run, source, key)) for key in keys[start : start + BATCH]]
            for key, future in pending:
                values = future.result()
                best = int(values.argmax())
                found.append({"key": key, "label": best, "name": CLASSES[best], "probability": float(values[best])})
        return found

    @router.delete("/{source}", status_code=204, responses=p.refusals(404))
    def forget(source: p.Source) -> None:
        """Forget an upload."""
        contents.uploads.forget(source)

    return router


def _about(contents: Contents, source: str) -> dict[str, Any]:
    found = contents.uploads.get(source)
    return {
        "source": source,
        "title": found.title,
        "patches": len(found.patches),
        "columns": found.columns,
        "bands": list(found.bands),
        "notes": list(found.notes),
    }

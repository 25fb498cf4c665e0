"""The application: routes, the page, answers to errors, and the guards around all of it."""

from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping
from bigearth_pipeline.serve.guard.head import Head
from bigearth_pipeline.serve.guard.headers import Headers
from bigearth_pipeline.serve.guard.requests import Guard
from bigearth_pipeline.serve.patch.scores import Scores
from bigearth_pipeline.serve.routes.check import check_routes
from bigearth_pipeline.serve.routes.map import map_routes
from bigearth_pipeline.serve.routes.overview import overview_routes
from bigearth_pipeline.serve.routes.patches import patch_routes
from bigearth_pipeline.serve.routes.runs import run_routes
from bigearth_pipeline.serve.routes.scenes import scene_routes
from bigearth_pipeline.serve.routes.uploads import upload_routes
from bigearth_pipeline.serve.upload.receive import BadUpload
from shards.errors import BepError, InvalidValue
from shards.reporting import one_line

STATIC: Final = files("bigearth_pipeline.serve").joinpath("static")


def create_app(contents: Contents, stopping: Stopping | None = None) -> ASGIApp:
    """Return the application for what a server shows.

    Args:
        contents: what it shows.
        stopping: says that the server is to end; None for never.

    Raises:
        PipelineError: the file of the verdicts holds something else.
    """
    return Headers(Guard(Head(api_of(contents, stopping or Stopping())), contents.config.token))


def api_of(contents: Contents, stopping: Stopping) -> FastAPI:
    """Return the application without guards: for them, see `create_app`."""
    # The pages of FastAPI itself load scripts from elsewhere; /docs is a page of ours.
    app = FastAPI(
        title="bep serve",
        version=version("bigearth-pipeline"),
        description="Stores, runs and predicted scenes of BigEarthNet.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        # Redirections lead to an address without the token.
        redirect_slashes=False,
    )
    scores = Scores(contents)
    for routes in (overview_routes, map_routes, check_routes, scene_routes):
        app.include_router(routes(contents))
    app.include_router(patch_routes(contents, scores, stopping))
    app.include_router(upload_routes(contents, scores, stopping))
    app.include_router(run_routes(contents, stopping))

    # A missing thing is a LookupError of ours; KeyError and IndexError, which are bugs, are answered by 500.
    @app.exception_handler(LookupError)
    async def absent(request: Request, err: LookupError) -> JSONResponse:
        if isinstance(err, (KeyError, IndexError)):
            raise err
        return JSONResponse({"detail": str(err)}, 404)

    @app.exception_handler(BepError)
    async def refused(request: Request, err: BepError) -> JSONResponse:
        status = 503 if isinstance(err, Busy) else 415 if isinstance(err, BadUpload) else 409
        if isinstance(err, InvalidValue):
            return JSONResponse({"detail": [{"loc": ["query"], "msg": str(err), "type": "value_error"}]}, 422)
        return JSONResponse({"detail": str(err)}, status)

    @app.exception_handler(OSError)
    async def failed(request: Request, err: OSError) -> JSONResponse:
        # A full disk, a folder that is gone: facts about the machine, not bugs.
        if (line := one_line(err)) is None:
            raise err
        return JSONResponse({"detail": line}, 409)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(str(STATIC / "index.html"))

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(str(STATIC / "docs.html"))

    app.mount("/static", _Files(directory=str(STATIC)), name="static")
    return app


class _Files(StaticFiles):
    """Files of the page; modules have the type that browsers demand, whatever the tables of the system say."""

    def file_response(self, full_path: Any, *arguments: Any, **options: Any) -> Response:
        """Return a file."""
        found = super().file_response(full_path, *arguments, **options)
        if str(full_path).endswith((".js", ".mjs")):
            found.headers["content-type"] = "text/javascript; charset=utf-8"
        found.headers["cache-control"] = "no-cache"
        return found

"""The runs: a table, curves and scores by class, and a stream of events while a run is under way."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.runs import OpenRun
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping
from bigearth_pipeline.serve.routes import parameters as p
from trainer.errors import TrainError
from trainer.history.groups import scored_words
from trainer.history.record import RunRecord
from trainer.runs.folder import LOCK, METRICS

_LOOK_SECONDS: Final = 0.5
_SILENT_SECONDS: Final = 15.0
"""Seconds after which an empty line is sent, so that a connection that was lost is noticed."""
_STREAMS: Final = 64


def run_routes(contents: Contents, stopping: Stopping) -> APIRouter:
    """Return the routes.

    Args:
        contents: what the server shows.
        stopping: says that streams are to end.
    """
    router = APIRouter(prefix="/api/runs", tags=["runs"])
    streams = asyncio.Semaphore(_STREAMS)

    @router.get("")
    def runs() -> list[dict[str, Any]]:
        """Return the runs as `bep runs --json` does, each with its number and what its scores are of, in words.

        Of a damaged one it says why it is unreadable.
        """
        return [_row(run) for run in contents.runs]

    @router.get("/{run}", responses=p.refusals(404, 409))
    def run(run: p.Number) -> dict[str, Any]:
        """Return a run with its options, the lines of its metrics and its results by split."""
        opened = contents.run(run)
        return _whole(opened, opened.record())

    @router.get(
        "/{run}/events",
        response_class=StreamingResponse,
        responses=p.refusals(404, 409, 503)
        | {200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}},
    )
    async def events(request: Request, run: p.Number) -> StreamingResponse:
        """Return the run as an event `run` now and whenever its metrics change, until it has ended.

        The last event is `end`.
        """
        opened = contents.run(run)
        await run_in_threadpool(opened.record)
        if streams.locked():
            raise Busy(f"{_STREAMS} runs are watched; close one")
        return StreamingResponse(_events(opened, request, streams, stopping), media_type="text/event-stream")

    return router


async def _events(run: OpenRun, request: Request, streams: asyncio.Semaphore, stopping: Stopping) -> AsyncIterator[str]:
    async with streams:
        seen, silent = None, 0.0
        while not stopping.now and not await request.is_disconnected():
            now = await run_in_threadpool(_stamp, run)
            if now == seen:
                silent += _LOOK_SECONDS
                if silent >= _SILENT_SECONDS:
                    silent = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            seen, silent = now, 0.0
            try:
                record = await run_in_threadpool(run.record)
            except (TrainError, OSError) as err:
                yield _event("failed", {"detail": str(err)})
                return
            yield _event("run", _whole(run, record))
            if record.state != "running":
                break
        yield _event("end", {})


def _event(name: str, values: dict[str, Any]) -> str:
    """Return a server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    return f"event: {name}\ndata: {json.dumps(values)}\n\n"


def _stamp(run: OpenRun) -> tuple[Any, ...]:
    """Return what changes when the run's files do."""
    from shards.storage.lock import is_held

    path = run.folder / METRICS
    stat = path.stat() if path.exists() else None
    return (stat and (stat.st_size, stat.st_mtime_ns), is_held(run.folder / LOCK))


def _row(run: OpenRun) -> dict[str, Any]:
    try:
        record = run.record()
        return run.about() | record.to_json() | {"name": run.about()["name"], "scored_words": scored_words(record)}
    except (TrainError, OSError) as err:
        return run.about() | {"state": "unreadable", "detail": str(err)}


def _whole(run: OpenRun, record: RunRecord) -> dict[str, Any]:
    return {
        "number": run.number,
        "facts": record.to_json() | {"name": run.about()["name"]},
        "epochs": record.epochs,
        "results": record.results,
    }

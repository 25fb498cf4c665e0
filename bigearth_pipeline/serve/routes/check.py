"""Checking labels: pairs that a run and the labels disagree on, verdicts, and files for training."""

import shlex
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bigearth_pipeline.serve.check.disagreement import Pairs, disagreements
from bigearth_pipeline.serve.check.first import first_predicted
from bigearth_pipeline.serve.check.verdicts import Verdict, Verdicts
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stores import OpenStore
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.serve.routes import parameters as p
from shards import CLASSES
from shards.errors import InvalidValue
from shards.layout.facts import MAX_KEY

_PAIRS = 16


class Judged(BaseModel):
    """A verdict on a pair."""

    model_config = ConfigDict(extra="forbid", strict=True)

    store: int = Field(ge=0, le=9999, description="Number of the store.")
    run: int = Field(ge=0, le=9999, description="Number of the run that disagrees.")
    key: str = Field(pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_KEY}}}$", description="Name of the patch.")
    label: int = Field(ge=0, le=18, description="Number of the class.")
    verdict: Literal["right", "wrong", "unsure"] = Field(description="What the label is.")


def check_routes(contents: Contents) -> APIRouter:
    """Return the routes.

    Raises:
        PipelineError: the file of the verdicts holds something else.
    """
    router = APIRouter(prefix="/api/check", tags=["check"])
    verdicts = Verdicts(contents.config.verdicts)
    pairs: Cache[Pairs] = Cache(_PAIRS)

    def found(store: OpenStore, run: int, label: int | None) -> Pairs:
        predicted = contents.run(run).predicted(store)
        if predicted is None:
            contents.run(run).check_classes()
            folder = contents.run(run).folder
            make = shlex.join(["bep", "evaluate", str(folder), "--shards", str(store.folder)])
            raise InvalidValue(f"{folder} has no predictions on {store.folder}; write them: {make}")
        return pairs.get((store.number, run, predicted.version, label), lambda: disagreements(store, predicted, label))

    @router.get("/first", responses=p.refusals(404))
    def first(
        store: Annotated[int | None, Query(ge=0, le=9999)] = None, run: p.MaybeRun = None
    ) -> dict[str, int | None]:
        """Return the first run with predictions on a store, and that store; null where no run has any."""
        found = first_predicted(contents, store, run)
        number, place = found or (None, None)
        return {"run": number, "store": place}

    @router.get("/pairs", responses=p.refusals(404, 409))
    def disagreeing(
        store: Annotated[int, Query(ge=0, le=9999)], run: p.RunNumber, label: p.Label = None,
        start: Annotated[int, Query(ge=0, le=1 << 30)] = 0, count: Annotated[int, Query(ge=1, le=200)] = 50,
        unjudged: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Return pairs of a patch and a class where the run decides otherwise than the label, the most certain first.

        With `unjudged` pairs that have a verdict are left out, before `start` counts. `judged` is the number of those
        that have one.
        """
        opened = contents.store(store)
        chosen = found(opened, run, label)
        judged = {(each.key, each.class_name): each.verdict for each in verdicts.all()}
        rows = opened.rows_of([key for key, _ in judged])
        labels = np.array([CLASSES.index(name) for _, name in judged], np.int64)
        is_judged = np.isin(_numbered(chosen.rows, chosen.labels), _numbered(rows, labels))
        numbers = np.flatnonzero(~is_judged) if unjudged else np.arange(len(chosen))
        return {
            "count": len(numbers),
            "judged": int(is_judged.sum()),
            "pairs": [_pair(opened, chosen, i, judged) for i in numbers[start : start + count].tolist()],
        }

    @router.post("/verdicts", responses=p.refusals(400, 404, 409))
    def judge(given: Judged) -> dict[str, Any]:
        """Add a verdict on the label of a class of a patch that the run has predicted."""
        opened = contents.store(given.store)
        row = contents.row(opened, given.key)
        predicted = contents.run(given.run).predicted(opened)
        places = [] if predicted is None else (predicted.rows == row).nonzero()[0].tolist()
        if predicted is None or not places:
            raise LookupError(f"run {given.run} has not predicted {given.key}")
        probability = float(predicted.probabilities[places[0], given.label])
        label = int(opened.labels[row, given.label])
        return _shown(verdicts.add(given.key, CLASSES[given.label], label, probability, given.verdict))

    @router.get(
        "/verdicts.csv", response_class=Response, responses=p.refusals(409) | p.content("text/csv", "The verdicts.")
    )
    def table() -> Response:
        """Return the last verdict on each pair as CSV: key, class, label, probability, verdict, time."""
        headers = {"Content-Disposition": 'attachment; filename="verdicts.csv"'}
        return Response(verdicts.text(), media_type="text/csv", headers=headers)

    @router.get("/exclude", responses=p.refusals(409))
    def exclude() -> dict[str, Any]:
        """Return the patches with a wrong label, and the condition of `bep train --where` that leaves them out."""
        return {"path": str(verdicts.path), "keys": verdicts.wrong_keys(), "where": verdicts.condition()}

    @router.get("/kept.txt", response_class=PlainTextResponse, responses=p.refusals(404, 409))
    def kept(store: Annotated[int, Query(ge=0, le=9999)]) -> PlainTextResponse:
        """Return the patches of a store without a wrong label, a name a line, for `bep train --patches`."""
        wrong = set(verdicts.wrong_keys())
        keys = contents.store(store).store.index.table["key"].to_pylist()
        headers = {"Content-Disposition": 'attachment; filename="kept.txt"'}
        return PlainTextResponse("".join(f"{key}\n" for key in keys if key not in wrong), headers=headers)

    return router


def _pair(store: OpenStore, pairs: Pairs, i: int, judged: dict[tuple[str, str], str]) -> dict[str, Any]:
    key, label = store.store.index.key(int(pairs.rows[i])), int(pairs.labels[i])
    return {
        "source": store.name,
        "key": key,
        "label": label,
        "has_label": bool(pairs.has_label[i]),
        "probability": round(float(pairs.probabilities[i]), 4),
        "labels": store.labels[int(pairs.rows[i])].tolist(),
        "verdict": judged.get((key, CLASSES[label])),
    }


def _numbered(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number for each pair of a row and a class."""
    return rows * len(CLASSES) + labels


def _shown(verdict: Verdict) -> dict[str, Any]:
    return {
        "key": verdict.key,
        "class": verdict.class_name,
        "label": verdict.label,
        "probability": float(verdict.probability),
        "verdict": verdict.verdict,
        "time": verdict.time,
    }

"""Explanations of a class on a patch, one at a time, with a bounded queue and a bounded cache."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bigearth_pipeline.extra import EXPLANATIONS, PAGES, require
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping, Unwanted
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.serve.patch.pictures import encoded
from shards import CLASSES
from trainer.explain.names import BAND_OCCLUSION, GRAD_CAM, INTEGRATED_GRADIENTS

METHODS: Final = (GRAD_CAM, INTEGRATED_GRADIENTS, BAND_OCCLUSION)
MOST: Final = 512
"""Explanations that are kept, of 30 KB."""
WAITING: Final = 8
"""Requests that may wait for one that is computed; each takes up to seconds."""
_LOOK_SECONDS: Final = 0.25
"""Seconds until one that waits notices that its client has left, or that the server ends."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of the score of a class on a patch.

    Attributes:
        picture: map over true colour as WebP; None for a method of bands alone.
        bands: weight of each band by its name, in logits; None for a method without.
        limit: value that has the full colour in the map, in logits; None for Grad-CAM, which has no unit.
        probability: of the class.
    """

    picture: bytes | None
    bands: dict[str, float] | None
    limit: float | None
    probability: float


class Explanations:
    """Explanations of the patches of a server."""

    def __init__(self, contents: Contents, stopping: Stopping) -> None:
        """Take what the server shows, and what says that it is to end, and with it those that wait."""
        self._contents, self._stopping = contents, stopping
        self._cache: Cache[Explanation] = Cache(MOST)
        contents.uploads.listeners.append(self._cache.drop)
        self._one = threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING)

    def of(
        self, run: int, source: str, key: str, label: int, method: str, has_left: Callable[[], bool] = lambda: False
    ) -> Explanation:
        """Return an explanation.

        Args:
            run: number of the run.
            source: address of the store or the upload.
            key: name of the patch.
            label: number of the class.
            method: one of `METHODS`.
            has_left: tells whether nobody waits for the answer any more, so that others need not wait for it.

        Raises:
            Unwanted: so it is.
            Busy: too many others wait, or the server ends.
            PipelineError: a library is absent.
            TrainError: the run has no network yet, or the method cannot explain it.
            Absent: there is no such run or patch.
        """
        self._contents.network(run, source)
        address = (run, self._contents.run(run).version, source, key, label, method)

        def check() -> None:
            self._stopping.check(has_left)

        while True:
            try:
                return self._cache.get(address, lambda: self._in_turn(run, source, key, label, method, check))
            except Unwanted:
                # That of another client may have left, for which it was computed until now.
                check()

    def _in_turn(
        self, run: int, source: str, key: str, label: int, method: str, check: Callable[[], None]
    ) -> Explanation:
        if not self._waiting.acquire(blocking=False):
            raise Busy(f"{WAITING} explanations are under way or wait; try again in a few seconds")
        try:
            check()
            while not self._one.acquire(timeout=_LOOK_SECONDS):
                check()
            try:
                return self._compute(run, source, key, label, method, check)
            finally:
                self._one.release()
        finally:
            self._waiting.release()

    def _compute(
        self, run: int, source: str, key: str, label: int, method: str, check: Callable[[], None]
    ) -> Explanation:
        require(EXPLANATIONS, "serve")
        require(PAGES, "serve")
        # Imported here, for they need the libraries above.
        from bigearth_pipeline.report.explain.explained import explain_patches
        from bigearth_pipeline.report.explain.panel import map_picture
        from bigearth_pipeline.report.explain.patches import Chosen
        from bigearth_pipeline.report.figure.overlay import limit_of
        from trainer.explain.methods.registry import methods
        from trainer.explain.subject import CannotExplain

        chosen = Chosen(key=key, record=self._contents.record(source, key))
        found = explain_patches(
            self._contents.run(run).predictor(),
            [chosen],
            {method: methods()[method]},
            classes=[CLASSES[label]],
            check=check,
        )
        if method in found.impossible:
            raise CannotExplain(found.impossible[method])
        maps = found.maps[method]
        picture = map_picture(found, 0, method)
        return Explanation(
            picture=None if picture is None else encoded(picture),
            bands=None if maps.bands is None else dict(zip(found.bands, maps.bands[0].tolist(), strict=True)),
            limit=None if maps.pixels is None or method == GRAD_CAM else limit_of(maps.pixels[0]),
            probability=float(found.probabilities[0, label]),
        )

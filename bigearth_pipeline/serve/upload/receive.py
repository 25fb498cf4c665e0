"""An upload from received files to patches in memory: a temporary folder, a limited process, and nothing left."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

import bigearth_pipeline
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping
from bigearth_pipeline.serve.upload.kept import Upload, UploadedPatch
from bigearth_pipeline.serve.upload.limits import AT_A_TIME, MOST_BYTES, MOST_FILES, WALL_SECONDS
from bigearth_pipeline.serve.upload.worker import RESULT
from bigearth_pipeline.source.offset import OffsetMode
from shards.reporting import printable
from shards.runtime.scratch import ScratchFolder

_CHUNK: Final = 1 << 20
_TITLE: Final = 80
_LOOK_SECONDS: Final = 0.25
"""Seconds until an upload that is decoded, or waits for that, notices the end of the server."""


class BadUpload(PipelineError):
    """An upload cannot be used; the message is the reason."""


class Receiver:
    """Decodes uploads, a few at a time; any thread may use it."""

    def __init__(self, stopping: Stopping) -> None:
        """Take what says that the server is to end, and with it what is decoded."""
        self._stopping = stopping
        self._turns = threading.BoundedSemaphore(AT_A_TIME)

    def decode(
        self,
        files: Sequence[tuple[str, IO[bytes]]],
        offset: OffsetMode,
        baseline: int | None,
        has_left: Callable[[], bool] = lambda: False,
    ) -> Upload:
        """Return the patches of an upload.

        Args:
            files: (name on the user's machine, content) of each.
            offset: `auto` subtracts the offset of newer processing baselines.
            baseline: of an image that does not say its own.
            has_left: tells whether the client has left, so that others need not wait for its image.

        Raises:
            BadUpload: it cannot be used.
            Busy: too many others are being decoded, or the server ends.
            Unwanted: the client has left.
        """
        if not 0 < len(files) <= MOST_FILES:
            raise BadUpload(f"there are {len(files):,} files, expected 1 to {MOST_FILES}")
        self._wait(has_left)
        try:
            with ScratchFolder("serve") as folder:
                _write(folder, [content for _, content in files])
                request = {"names": [_last(each) for each, _ in files], "offset": offset, "baseline": baseline}
                answer = self._in_process(folder, request, has_left)
                if "refused" in answer:
                    raise BadUpload(answer["refused"])
                return _upload(_last(files[0][0]), len(files), answer, folder / RESULT)
        finally:
            self._turns.release()

    def _wait(self, has_left: Callable[[], bool]) -> None:
        end = time.monotonic() + WALL_SECONDS
        while not self._turns.acquire(timeout=_LOOK_SECONDS):
            self._stopping.check(has_left)
            if time.monotonic() > end:
                raise Busy("other uploads are being decoded; try again")

    def _in_process(self, folder: Path, request: dict[str, Any], has_left: Callable[[], bool]) -> dict[str, Any]:
        """Have a process of its own decode the files of a folder, and return its answer."""
        content: bytes | None = json.dumps(request).encode()
        end = time.monotonic() + WALL_SECONDS
        with _started(folder) as process:
            try:
                while True:
                    try:
                        told, _ = process.communicate(content, timeout=_LOOK_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        content = None
                        self._stopping.check(has_left)
                        if time.monotonic() > end:
                            raise BadUpload(f"it was not decoded within {WALL_SECONDS:.0f} s") from None
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise BadUpload(
                f"the process that decodes it has ended with status {process.returncode}: it takes too much"
            )
        found: dict[str, Any] = json.loads(told)
        return found


def _last(name: str) -> str:
    """Return the last part of a name, whichever system it comes from."""
    return name.replace("\\", "/").rpartition("/")[2][:255]


def _write(folder: Path, contents: Sequence[IO[bytes]]) -> None:
    left = MOST_BYTES
    for number, content in enumerate(contents):
        with open(folder / f"{number}.bin", "xb") as target:
            while chunk := content.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise BadUpload(f"the upload has more than {MOST_BYTES >> 20} MiB")
                target.write(chunk)


def _started(folder: Path) -> subprocess.Popen[bytes]:
    root = str(Path(bigearth_pipeline.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-m", "bigearth_pipeline.serve.upload.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        # Ctrl-C at the terminal is for the server, which ends this.
        start_new_session=True,
    )


def _upload(title: str, num_files: int, answer: dict[str, Any], result: Path) -> Upload:
    with np.load(result, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    patches = tuple(
        UploadedPatch(
            key=str(i),
            record=found["records"][i],
            missing=float(found["missing"][i]),
            place=(int(epsg), float(ulx), float(uly)) if epsg and np.isfinite([ulx, uly]).all() else None,
        )
        for i, (epsg, ulx, uly) in enumerate(zip(found["epsg"], found["ulx"], found["uly"], strict=True))
    )
    rest = f" and {num_files - 1} more" if num_files > 1 else ""
    return Upload(
        title=f"{printable(title)[:_TITLE]}{rest}",
        columns=answer["columns"] or None,
        patches=patches,
        notes=tuple(answer["notes"]),
        bands=tuple(answer["bands"]),
    )

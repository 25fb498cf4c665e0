"""The run as TensorBoard shows it. All of TensorBoard is in this file.

Events are written by this thread: the writers of TensorBoard and torch use one of their own, where a full disk ends in
a traceback beside the run, and in an error of the run only much later.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer.runs import folder as run_folder
from trainer.runs.scalars import epoch_scalars, window_scalars
from trainer.runtime.progress import EpochReport, StepReport, WindowReport

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Board:
    """Writes what a run reports as TensorBoard events; a `trainer.runtime.progress.Progress`."""

    def __init__(self, folder: Path, first_step: int, is_writer: bool, options: str = "") -> None:
        """Open the events of a run.

        Args:
            folder: of the run.
            first_step: steps done before; TensorBoard hides what was written after them before a resume.
            is_writer: whether this process writes; the others of a run do nothing.
            options: of the run as text, shown under `options`; empty for none.

        Raises:
            TrainError: they cannot be written.
        """
        self._folder = folder
        name = f"{run_folder.EVENTS}{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        self._path = folder / name
        self._exit = ExitStack()
        self._writer: RecordWriter | None = None
        if is_writer:
            with run_folder.written(folder, self._path):
                # Without a buffer: an event is either in the file or an error of its own.
                self._writer = RecordWriter(
                    self._exit.enter_context(os.fdopen(os.open(self._path, _FLAGS, 0o666), "wb", 0))
                )
            self._write(Event(file_version="brain.Event:2"))
            # Hides what has this step or a later one: the epoch that ended with `first_step` stays.
            self._write(Event(step=first_step + 1, session_log=SessionLog(status=SessionLog.START)))
            if options:
                self._write(Event(step=first_step, summary=Summary(value=[_text("options", options)])))

    def __enter__(self) -> "Board":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def say(self, text: str) -> None:
        """Do nothing: TensorBoard shows numbers."""

    def step(self, report: StepReport) -> None:
        """Do nothing: these come by the clock, and steps are logged by their number."""

    def window(self, report: WindowReport) -> None:
        """Write the report of a logged step."""
        self._add(window_scalars(report), report.step)

    def epoch(self, report: EpochReport) -> None:
        """Write the report of an epoch."""
        self._add(epoch_scalars(report), report.step)

    def _add(self, scalars: Mapping[str, float], step: int) -> None:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        if self._writer is not None:
            event.wall_time = time.time()
            with run_folder.written(self._folder, self._path):
                self._writer.write(event.SerializeToString())


def _text(tag: str, text: str) -> Summary.Value:
    """Return a text as the text plugin shows it: Markdown, in which lines that are indented stay as they are."""
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    tensor = TensorProto(dtype=DT_STRING, string_val=[lines.encode()])
    return Summary.Value(tag=f"{tag}/text_summary", tensor=tensor, metadata=create_summary_metadata(tag, ""))

"""Verdicts on labels as a CSV file that grows by a line a verdict, and what training takes to leave patches out.

A later verdict on the same patch and class replaces an earlier one; both lines stay. The file is what counts: what
another server or an editor does to it meanwhile is seen.
"""

import csv
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Final, Literal, get_args

from bigearth_pipeline.errors import PipelineError
from shards.layout.classes import CLASSES
from shards.layout.facts import is_key
from shards.storage.names import named
from shards.storage.safe_open import check_regular, open_regular_file

Judgement = Literal["right", "wrong", "unsure"]
MOST_BYTES: Final = 1 << 28
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict of a person on a label.

    Attributes:
        key: name of the patch.
        class_name: name of the class.
        label: 1 where the patch is labelled with it, else 0.
        probability: of the class by the run that was shown, four digits.
        verdict: whether the label is `right`, `wrong`, or the person `unsure`.
        time: UTC, ISO 8601 to the second.
    """

    key: str
    class_name: str
    label: int
    probability: str
    verdict: str
    time: str


COLUMNS: Final = ("key", "class", *(field.name for field in fields(Verdict)[2:]))


class Verdicts:
    """The verdicts in a file; any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Read the verdicts of an earlier time; the file need not exist.

        Raises:
            PipelineError: the file holds something else, or cannot be read.
        """
        self.path = path
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Verdict] = {}
        self._ends_in_line = True
        self._seen: tuple[int, ...] | None = None
        self._follow()

    def __len__(self) -> int:
        return len(self.all())

    def add(self, key: str, class_name: str, label: int, probability: float, verdict: Judgement) -> Verdict:
        """Add a verdict; its line is on the disk when this returns.

        Raises:
            PipelineError: the file holds something else by now.
            OSError: it cannot be written.
        """
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        made = Verdict(key, class_name, label, f"{probability:.4f}", verdict, time)
        with self._lock:
            self._follow()
            with named(self.path):
                descriptor = os.open(self.path, _APPEND, 0o666)
            try:
                size = check_regular(descriptor, self.path).st_size
                text = ("" if self._ends_in_line else "\n") + ("" if size else _line(COLUMNS))
                self._append(descriptor, size, (text + _line(astuple(made))).encode())
                # Lines of others that came since the last look are read at the next one.
                is_known = size == (self._seen[2] if self._seen else 0)
                self._seen = _stamp(os.fstat(descriptor)) if is_known else ()
            finally:
                os.close(descriptor)
            self._ends_in_line = True
            self._found[key, class_name] = made
        return made

    def _append(self, descriptor: int, size: int, line: bytes) -> None:
        """Write a line as a whole: a part of one would make the next one a part of it."""
        try:
            with named(self.path):
                view = memoryview(line)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
                if not size:
                    self.path.unlink()
            raise

    def all(self) -> list[Verdict]:
        """Return the last verdict on each pair.

        Raises:
            PipelineError: the file holds something else by now, or cannot be read.
        """
        with self._lock:
            self._follow()
            return list(self._found.values())

    def text(self) -> str:
        """Return the last verdict on each pair as CSV."""
        return _line(COLUMNS) + "".join(_line(astuple(each)) for each in self.all())

    def wrong_keys(self) -> list[str]:
        """Return the names of patches with a label that is wrong, sorted."""
        return sorted({each.key for each in self.all() if each.verdict == "wrong"})

    def condition(self) -> str:
        """Return the condition that leaves these patches out of a training; empty without any."""
        names = ", ".join(f"'{key}'" for key in self.wrong_keys())
        return f"key not in ({names})" if names else ""

    def _follow(self) -> None:
        """Read the file anew if it is another one than at the last time; one that is absent has no verdicts."""
        try:
            stamp = _stamp(self.path.stat())
        except FileNotFoundError:
            stamp = None
        except OSError as err:
            raise PipelineError(f"{self.path} cannot be read: {err.strerror or err}") from err
        if stamp == self._seen:
            return
        found = [] if stamp is None else self._read()
        self._found = {(verdict.key, verdict.class_name): verdict for verdict in found}
        self._seen = stamp

    def _read(self) -> list[Verdict]:
        try:
            with open_regular_file(self.path) as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as err:
            raise PipelineError(f"{self.path} cannot be read: {err.strerror or err}") from err
        try:
            rows = list(csv.reader(StringIO(content.decode()), strict=True))
        except (ValueError, csv.Error) as err:
            raise PipelineError(f"{self.path} is no CSV file of verdicts: {err}; name another by `verdicts=`") from err
        self._ends_in_line = not content or content.endswith(b"\n")
        if not rows or tuple(rows[0]) != COLUMNS or len(content) > MOST_BYTES:
            raise PipelineError(f"{self.path} has other columns than {', '.join(COLUMNS)}; name another by `verdicts=`")
        # A line that was cut off, as by a full disk, is no verdict.
        return [each for row in rows[1:] if (each := _parsed(row)) is not None]


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _parsed(row: list[str]) -> Verdict | None:
    if len(row) != len(COLUMNS) or not is_key(row[0]) or row[1] not in CLASSES:
        return None
    if row[2] not in ("0", "1") or row[4] not in get_args(Judgement):
        return None
    return Verdict(row[0], row[1], int(row[2]), row[3], row[4], row[5])


def _line(values: Iterable[object]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()

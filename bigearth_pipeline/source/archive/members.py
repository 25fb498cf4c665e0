"""The members of a tar in sequence, from a stream of its bytes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.headers import (
    BLOCK,
    LONG_NAME_TYPE,
    MAX_EXTENDED,
    TYPE_AT,
    BadHeader,
    Header,
    Kind,
    parse_header,
    parse_pax,
    parse_repeated,
    pax_size,
    pax_time,
)
from bigearth_pipeline.source.archive.other_files import EXPECTED, describe
from shards.reporting import printable

if TYPE_CHECKING:
    from bigearth_pipeline.source.archive.scan import WholePatch

MAX_MEMBER: Final = 4 << 30
"""Bytes of a member, at most: band files have 30,000, and the rest of what lies in archives is text."""
MAX_MEMBERS: Final = 100_000_000
_MAX_AFTER_END: Final = 64 << 20
"""Zeros after the end, at most: tar fills up its last record, of 10 KiB unless options make it longer."""
_MAGIC_AT: Final = 257
"""Offset in a header of the letters `ustar`, which all but very old tars have."""
_ZEROS: Final = bytes(BLOCK)
_JOINED: Final = 256 << 10
"""Bytes of the next piece that a patch may reach into, at most; one has 190,000 with its headers."""


class Member(NamedTuple):
    """A member of a tar.

    Attributes:
        name: its path, as the archive says it.
        kind: what it is.
        size: bytes of its content.
        mtime_ns: modification time, in nanoseconds.
        link: target of a link.
        offset: where its first header begins in the tar, in bytes.
    """

    name: str
    kind: Kind
    size: int
    mtime_ns: int
    link: str
    offset: int


class TarReader:
    """Members of a tar; the content of each is read, or else skipped, before the next one comes."""

    def __init__(self, chunks: Iterator[memoryview], name: str, start: int = 0) -> None:
        """Read a tar.

        Args:
            chunks: its bytes, in pieces of any length.
            name: of the archive, for errors.
            start: offset of the first chunk in the tar, where a header begins.
        """
        self._chunks, self._name = chunks, name
        self._chunk, self._at, self._begin = memoryview(b""), 0, start
        self._following = memoryview(b"")  # The chunk after that, if it was looked at.
        self._head = b""  # The first block, or what has come of it.
        self._left = self._padding = 0
        self._current = ""
        self._number = 0
        self._everywhere: dict[str, str] = {}  # What extended headers say of all members.

    @property
    def position(self) -> int:
        """Bytes of the tar read so far."""
        return self._begin + self._at

    def __iter__(self) -> Iterator[Member]:
        """Yield the members.

        Raises:
            PipelineError: the tar ends early, is damaged, or has a member that no archive of BigEarthNet has.
        """
        for start, header, extended in self._headers():
            member = self._member(start, header, extended)
            self._number += 1
            if member.size > MAX_MEMBER or self._number > MAX_MEMBERS:
                fact = f"{member.size:,} bytes" if member.size > MAX_MEMBER else f"{self._number:,} members before it"
                raise PipelineError(
                    f"{self._name}: member {printable(member.name)} has {fact}, expected at most "
                    f"{MAX_MEMBER if member.size > MAX_MEMBER else MAX_MEMBERS:,}; this is no archive of BigEarthNet"
                )
            self._left, self._padding = member.size, -member.size % BLOCK
            self._current = member.name
            yield member
            self._finish()

    def _finish(self) -> None:
        """Skip what is left of the member that came last."""
        self._skip(self._left + self._padding)
        self._left = self._padding = 0

    def next_patch(self) -> "WholePatch | None":
        """Return the patch whose members are the next, and whole and usual; None otherwise. Nothing is skipped."""
        # Imported here, for numba is.
        from bigearth_pipeline.source.archive.scan import Outcome, find_patch

        self._finish()
        if self._everywhere:
            return None
        found = find_patch(self._chunk, self._at)
        if found is Outcome.SHORT and len(self._chunk) - self._at < _JOINED and self._look():
            joined = bytes(self._chunk[self._at :]) + self._following[:_JOINED]
            found = find_patch(memoryview(joined), 0)
        return None if isinstance(found, Outcome) else found

    def skip_patch(self, patch: "WholePatch") -> None:
        """Skip the patch that `next_patch` has returned."""
        self._skip(patch.length)
        self._number += patch.members
        self._current = patch.name

    def content(self) -> bytes:
        """Return the content of the member that came last; once."""
        content = self._take(self._left)
        self._left = 0
        return content

    def _headers(self) -> Iterator[tuple[int, Header, dict[str, str]]]:
        """Yield offset, last header and extended records of each member."""
        extended: dict[str, str] = {}
        start = self.position
        while True:
            block = self._take(BLOCK)
            if block == _ZEROS:
                self._end()
                return
            try:
                header = parse_repeated(block) if block[TYPE_AT] == LONG_NAME_TYPE else parse_header(block)
                if header.kind in (Kind.LONG_NAME, Kind.LONG_LINK, Kind.PAX, Kind.PAX_GLOBAL):
                    self._extend(header, extended)
                    continue
                if header.kind is Kind.LABEL:
                    self._skip(header.size + -header.size % BLOCK)
                    start = self.position
                    continue
            except BadHeader as err:
                if not start:
                    raise self._no_tar(str(err)) from err
                raise PipelineError(f"{self._name}: at byte {start:,} of the tar: {err}") from err
            continues = header.continues
            while continues:
                continues = self._take(BLOCK)[504] != 0
            yield start, header, self._everywhere | extended if self._everywhere else extended
            extended, start = {}, self.position

    def _extend(self, header: Header, extended: dict[str, str]) -> None:
        """Read a header that describes the next member, or all that follow."""
        if header.size > MAX_EXTENDED:
            raise BadHeader(f"{header.kind.value} has {header.size:,} bytes, expected at most {MAX_EXTENDED:,}")
        content = self._take(header.size)
        self._skip(-header.size % BLOCK)
        if header.kind is Kind.PAX_GLOBAL:
            self._everywhere.update(parse_pax(content))
        elif header.kind is Kind.PAX:
            extended.update(parse_pax(content))
        else:
            key = "path" if header.kind is Kind.LONG_NAME else "linkpath"
            extended.setdefault(key, content.partition(b"\0")[0].decode("utf-8", "surrogateescape"))

    def _member(self, start: int, header: Header, extended: dict[str, str]) -> Member:
        """Put together what header and extended header say."""
        # Old archives have folders as files whose names end in a slash; a name that was cut off may as well.
        if not extended:
            kind = Kind.FOLDER if header.kind is Kind.FILE and header.name.endswith("/") else header.kind
            return Member(header.name, kind, header.size, header.mtime_ns, header.link, start)
        name, kind, size, mtime = extended.get("path", header.name), header.kind, header.size, header.mtime_ns
        if "size" in extended and (size or kind in (Kind.FILE, Kind.SPARSE, Kind.OTHER)):
            try:
                size = pax_size(extended["size"])
            except BadHeader as err:
                raise PipelineError(f"{self._name}: member {printable(name)}: {err}") from err
        if "mtime" in extended:
            time = pax_time(extended["mtime"])
            mtime = mtime if time is None else time
        if len(extended) > 1 and any(key.startswith("GNU.sparse.") for key in extended):
            kind, name = Kind.SPARSE, extended.get("GNU.sparse.name", name)
        elif kind is Kind.FILE and name.endswith("/"):
            kind = Kind.FOLDER
        return Member(name, kind, size, mtime, extended.get("linkpath", header.link), start)

    def _end(self) -> None:
        """Read what follows the first of the two blocks of zeros that end a tar: zeros only."""
        after = 0
        self._current = ""
        while self._at < len(self._chunk) or self._next(must=False):
            rest = bytes(self._chunk[self._at :])
            after += len(rest)
            if rest.strip(b"\0"):
                raise PipelineError(
                    f"{self._name} continues after the end of its tar, at byte {self.position:,}; name each archive by "
                    "itself, and not several in one file"
                )
            if after > _MAX_AFTER_END:
                raise PipelineError(
                    f"{self._name} has more than {_MAX_AFTER_END:,} zeros after the end of its tar; it is damaged"
                )
            self._at = len(self._chunk)
        if after < BLOCK:
            raise self._truncated()

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end <= len(self._chunk):
            content = bytes(self._chunk[self._at : end])
            self._at = end
            return content
        parts = []
        while size > 0:
            if self._at == len(self._chunk):
                self._next()
            part = self._chunk[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        while (rest := len(self._chunk) - self._at) < size:
            self._at += rest
            size -= rest
            self._next()
        self._at += size

    def _next(self, *, must: bool = True) -> bool:
        """Go on to the next chunk that is not empty; return whether there is one."""
        if self._look():
            self._begin += len(self._chunk)
            self._chunk, self._at, self._following = self._following, 0, memoryview(b"")
            if len(self._head) < BLOCK:
                self._head += self._chunk[: BLOCK - len(self._head)]
            return True
        if must:
            raise self._truncated()
        return False

    def _look(self) -> bool:
        """Take the next chunk that is not empty, behind the present one; return whether there is one."""
        if not self._following:
            self._following = next(filter(None, self._chunks), memoryview(b""))
        return bool(self._following)

    def _no_tar(self, reason: str) -> PipelineError:
        if not self._head:
            return PipelineError(f"source {self._name} is empty, expected {EXPECTED}")
        if self._head[_MAGIC_AT:].startswith(b"ustar"):
            return PipelineError(f"source {self._name} is damaged at its first header: {reason}; get it again")
        return PipelineError(f"source {self._name}: expected {EXPECTED}; it holds {describe(self._head)}")

    def _truncated(self) -> PipelineError:
        if self.position < BLOCK:
            return self._no_tar("it is shorter than a header")
        where = f"in the middle of member {printable(self._current)}" if self._current else "without the end of a tar"
        return PipelineError(
            f"{self._name} is cut off: it ends {where}, after {self.position:,} bytes of the tar; get it again"
        )

"""Announcements of what will be read, so that a disk or a network has more to do than threads wait for."""

from numpy.typing import ArrayLike

from shards.layout.record import S2
from shards.read.extents import Extents
from shards.read.groups import Readers
from shards.storage.base import Files


class ReadAhead:
    """The methods of `Store` that announce reads."""

    _extents: Extents
    _files: Files
    _readers: Readers

    def will_need(self, indices: ArrayLike, *, group: str = S2) -> None:
        """Have the files of these rows' shards read into the page cache, in sequence, and return at once.

        From object storage the records of these rows are fetched, in sequence too, into the cache on disk. Rows that
        are in shared memory need none.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        self._files.advise_files(self._readers.of(group).uncached(self._extents.rows(indices)))

    def will_read(self, indices: ArrayLike, *, group: str = S2) -> None:
        """Have the records of these rows read into the page cache, or fetched from object storage; return at once.

        A disk serves many requests at a time, but threads that wait for what they read make one each. Records that are
        in memory need none.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        self._files.advise(self._readers.of(group).uncached(self._extents.rows(indices)))

    def give_up(self) -> None:
        """End reads of all threads that wait for object storage with a ValueError, as Ctrl-C does in training.

        What was announced is given up, too. Later reads work as before.
        """
        self._files.give_up()

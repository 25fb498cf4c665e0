"""The tar in an archive of any compression, from a file and from a stream; damage is refused."""

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.compression import tar_chunks

CONTENT = random.Random(1).randbytes(900_000) + bytes(2_000_000) + random.Random(2).randbytes(300_000)
_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, 1),
    "bzip2": lambda content: bz2.compress(content, 1),
    "xz": lambda content: lzma.compress(content, preset=0),
    "zstd": lambda content: zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content),
}
FORMS = pytest.mark.parametrize("form", sorted(_FORMS))
LOCAL = pytest.mark.parametrize("local", [True, False])


def _decode(content: bytes, tmp_path: Path, local: bool) -> bytes:
    path = tmp_path / "archive"
    path.write_bytes(content)
    return b"".join(tar_chunks(io.BytesIO(content), "archive", path if local else None))


@FORMS
@LOCAL
def test_whole_archives(tmp_path: Path, form: str, local: bool) -> None:
    """A compression loses bytes, also where it consists of several parts."""
    encode = _FORMS[form]
    assert _decode(encode(CONTENT), tmp_path, local) == CONTENT
    assert _decode(encode(CONTENT[:1_000_000]) + encode(CONTENT[1_000_000:]), tmp_path, local) == CONTENT
    assert _decode(CONTENT, tmp_path, local) == CONTENT


@pytest.mark.parametrize("form", ["bzip2", "gzip", "xz"])
@LOCAL
@pytest.mark.parametrize("zeros", [12, 512, 5_000_000])
def test_zeros_after_the_end_are_no_damage(tmp_path: Path, form: str, local: bool, zeros: int) -> None:
    """An archive that was filled up to whole blocks, as on tapes, passes from an address and is damaged as a file."""
    assert _decode(_FORMS[form](CONTENT) + bytes(zeros), tmp_path, local) == CONTENT
    empty = _FORMS[form](b"")
    assert _decode(_FORMS[form](CONTENT) + empty, tmp_path, local) == CONTENT


class _Rooms:
    """Rooms of an odd size, and how many are out."""

    def __init__(self, size: int) -> None:
        self.size, self.num_out = size, 0

    def take(self) -> memoryview:
        self.num_out += 1
        return memoryview(bytearray(self.size))

    def give_back(self, room: memoryview, /) -> None:
        self.num_out -= 1


class _Trickle(io.BytesIO):
    """An archive of which few bytes come at a time, as from a server: decoders then give nothing for some of them."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7_001) if size != -1 else -1)


@FORMS
@LOCAL
@pytest.mark.parametrize("size", [100_003, 5_000_000])
def test_rooms_are_filled(tmp_path: Path, form: str, local: bool, size: int) -> None:
    """The rest is lost where a decoder gives nothing for a while, or a room is left half empty, or kept at the end."""
    encoded = _FORMS[form](CONTENT)
    path = tmp_path / "archive"
    path.write_bytes(encoded)
    rooms = _Rooms(size)
    found = list(tar_chunks(_Trickle(encoded), "archive", path if local else None, rooms))
    assert b"".join(found) == CONTENT
    assert all(len(piece) == size for piece in found[:-1])
    assert rooms.num_out == len(found)


@FORMS
@LOCAL
def test_changed_bits_are_refused(tmp_path: Path, form: str, local: bool) -> None:
    """Damaged content passes, and so would damaged pixels."""
    encoded = _FORMS[form](CONTENT)
    for part in (5, 3, 2):
        damaged = bytearray(encoded)
        damaged[len(damaged) // part] ^= 8
        with pytest.raises(PipelineError, match=f"archive is damaged or cut off: its {form} cannot be decoded"):
            _decode(bytes(damaged), tmp_path, local)


@FORMS
@LOCAL
def test_nothing_is_made_up_where_an_archive_is_cut_off(tmp_path: Path, form: str, local: bool) -> None:
    """A truncated archive gives other bytes than the begin of the whole one; the end of the tar is then missing."""
    encoded = _FORMS[form](CONTENT)
    for length in (len(encoded) // 2, len(encoded) - 9):
        found = b"x"
        with suppress(PipelineError):
            found = _decode(encoded[:length], tmp_path, local)
        assert found == b"x" or (len(found) < len(CONTENT) and CONTENT.startswith(found))


def test_a_frame_that_wants_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    """A small file makes the decoder take memory without end."""
    parameters = zstandard.ZstdCompressionParameters(window_log=30, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    content = io.BytesIO()
    with compressor.stream_writer(content, closefd=False) as writer:
        writer.write(b"x")
    with pytest.raises(PipelineError, match="needs a decoder with more than 128 MiB of memory"):
        _decode(content.getvalue(), tmp_path, False)

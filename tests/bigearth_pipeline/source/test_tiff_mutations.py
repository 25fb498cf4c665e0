"""The short way against GDAL on files that are damaged or unusual: the same pixels and place, or both refuse."""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.georeference import Georeference
from bigearth_pipeline.source.tiff.layout import parse_layout
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.layout.bands import GROUPS
from shards.layout.record import RecordGroup
from tests.conftest import real
from tests.support.data.scene import write_band
from tests.support.data.tiffs import ASCII, DOUBLE, SHORT, Tag, geo_keys, mutate, official, with_tag

B10, B20, B60 = GROUPS


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A file in memory, where there is such a file system, that thousands of contents are written to."""
    path = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp") / f"bep-test-{os.getpid()}.tif"
    yield path
    path.unlink(missing_ok=True)


def outcome(reader: TiffReader, path: Path, group: RecordGroup) -> tuple[bytes, Georeference] | None:
    """Return pixels and place, None for a bad patch; whatever else is raised ends the test."""
    out = np.full(group.band_values, 0xDEAD, np.uint16)
    try:
        place = reader.read_band(str(path), group, out)
        return out.tobytes(), place
    except BadPatch as err:
        reason = str(err)
    assert str(path) in reason
    assert reason.isprintable()
    assert len(reason) < 700
    return None


class Pair:
    """The two ways, the short one having seen a sound file of the kind last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fast, self.slow = TiffReader(), TiffReader(always_gdal=True)
        self.counts: Counter[str] = Counter()

    def check(self, sound: bytes, content: bytes, group: RecordGroup, what: object) -> None:
        """Assert that both ways say the same of a file, which is in turns the first or comes after a sound one."""
        self.path.write_bytes(content)
        expected = outcome(self.slow, self.path, group)
        self.fast._layouts.clear()
        if self.counts.total() % 2:
            self.path.write_bytes(sound)
            assert outcome(self.fast, self.path, group) is not None
            self.path.write_bytes(content)
        assert outcome(self.fast, self.path, group) == expected, what
        way = "refused" if expected is None else "short" if _is_short(content, group) else "handed over"
        self.counts[way] += 1


def _is_short(content: bytes, group: RecordGroup) -> bool:
    return parse_layout("", content, group, 4096) is not None


def pixels(group: RecordGroup) -> bytes:
    return np.random.default_rng(group.metres).integers(0, 65_536, group.band_values).astype("<u2").tobytes()


@pytest.mark.long
def test_a_changed_byte_of_a_head(scratch: Path, v1_tree: Path) -> None:
    """A damaged byte of a header ends a build, or gives other pixels or another place than GDAL reads."""
    real_files = [
        *((path, B60) for path in real("v2/BigEarthNet-S2").glob("*/*/*_B01.tif")),
        *((path, B10) for path in sorted(v1_tree.glob("*/*/*_B02.tif"))[:1]),
    ]
    contents = [(path.read_bytes(), group) for path, group in real_files]
    contents.append((official(B20, pixels(B20)).encode(), B20))
    pair, rng = Pair(scratch), random.Random(3)
    for sound, group in contents:
        for at in range(len(sound) - 2 * group.band_values):
            value = rng.choice([sound[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255])
            pair.check(sound, sound[:at] + bytes([value]) + sound[at + 1 :], group, (group.metres, at, value))
    assert min(pair.counts["refused"], pair.counts["short"], pair.counts["handed over"]) > 40


@pytest.mark.long
def test_a_changed_tag(scratch: Path) -> None:
    """A tag that is doubled, lost, moved, of another type or value is read otherwise than GDAL reads it."""
    pair = Pair(scratch)
    for number in range(1200):
        rng = random.Random(number)
        group = GROUPS[number % 3]
        tiff = sound = official(group, pixels(group))
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            tiff = mutate(tiff, rng)
        pair.check(sound.encode(), tiff.encode(), group, number)
    assert min(pair.counts["refused"], pair.counts["short"], pair.counts["handed over"]) > 40


def test_official_tags_take_the_short_way_and_no_others() -> None:
    """A file with a tag that nobody looked at is read as if the tag were not there."""
    sound = official(B60, pixels(B60))
    assert parse_layout("", sound.encode(), B60, 4096) is not None
    assert parse_layout("", sound.encode() + b"\0", B60, 4096) is None
    for tag in (Tag(274, SHORT, [1]), Tag(42113, ASCII, b"7\0"), Tag(34736, DOUBLE, [1.0])):
        assert parse_layout("", with_tag(sound, tag).encode(), B60, 4096) is None
    with pytest.raises(BadPatch, match="x ends after 1171 bytes, expected 1172"):
        parse_layout("x", sound.encode()[:-1], B60, 4096)


@pytest.mark.parametrize("keys", [geo_keys({3072: 32733}), geo_keys({1025: 2}), geo_keys({3072: 25833})])
def test_what_gdal_finds_in_a_description_holds_for_the_next_file(scratch: Path, keys: list[int]) -> None:
    """A system that was learnt from one file, or the shift of half a pixel in it, is misapplied to another."""
    fast, slow = TiffReader(), TiffReader(always_gdal=True)
    for ulx in (300_000.0, 309_990.5, 300_000.0, 417_000.0):
        for group in GROUPS:
            tiff = with_tag(official(group, pixels(group), ulx=ulx), Tag(34735, SHORT, keys))
            scratch.write_bytes(tiff.encode())
            expected = outcome(slow, scratch, group)
            assert expected is not None
            assert expected[1].ulx == ulx - (group.metres / 2 if 2 in keys[11:12] else 0)
            assert outcome(fast, scratch, group) == expected


@pytest.mark.parametrize("compress", ["deflate", "lzw", "zstd", "lzma", "packbits"])
def test_damaged_compressed_files(scratch: Path, compress: str) -> None:
    """A damaged byte of a compressed file ends a build."""
    group = B60
    write_band(scratch, np.arange(400, dtype=np.uint16).reshape(20, 20), 60, 400_000, 5_000_000, compress=compress)
    sound = scratch.read_bytes()
    rng, reader, refused = random.Random(5), TiffReader(), 0
    for _ in range(120):
        content = bytearray(sound)
        for _ in range(rng.choice([1, 1, 3])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        scratch.write_bytes(content)
        refused += outcome(reader, scratch, group) is None
    assert refused > 20


def test_nothing_that_gdal_says_of_damaged_files_reaches_the_terminal(tmp_path: Path) -> None:
    """A build prints what libtiff and PROJ think of each damaged file, escape sequences of its texts among it."""
    tiff = official(B60, pixels(B60))
    texts = [b"\x1b[31mred\x07|\0", b"\xff\xfe" * 15, b"ESRI PE String = \x1b]0;x\x07|\0"]
    changed = [with_tag(tiff, Tag(34737, ASCII, text)) for text in texts]
    changed += [with_tag(tiff, Tag(42112, ASCII, b"<GDALMetadata>\x1b[2J<<\0"))]
    changed += [with_tag(tiff, Tag(34735, SHORT, geo_keys({3072: code}))) for code in (1, 32767, 4326, 65_000)]
    changed += [mutate(mutate(tiff, random.Random(i)), random.Random(i + 1)) for i in range(60)]
    for i, one in enumerate(changed):
        (tmp_path / f"{i}.tif").write_bytes(one.encode())
    script = (
        "import sys, pathlib, numpy as np\n"
        "from bigearth_pipeline.source.tiff.reader import TiffReader\n"
        "from bigearth_pipeline.errors import BadPatch\n"
        "from shards.layout.bands import GROUPS\n"
        "bad = 0\n"
        "with TiffReader() as reader:\n"
        "    for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "        try:\n"
        "            reader.read_band(str(path), GROUPS[2], np.empty(400, np.uint16))\n"
        "        except BadPatch as err:\n"
        "            assert str(err).isprintable()\n"
        "            bad += 1\n"
        "assert bad > 20\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

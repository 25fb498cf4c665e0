"""Members of a tar: the same as Python's `tarfile` finds, and refused where they are damaged or hostile."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.headers import BLOCK, Kind
from bigearth_pipeline.source.archive.members import MAX_MEMBER, TarReader
from bigearth_pipeline.source.archive.names import place_of
from tests.support.data.archives import member, tar_of

_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.SYMTYPE: Kind.SYMBOLIC_LINK,
    tarfile.CHRTYPE: Kind.DEVICE,
    tarfile.FIFOTYPE: Kind.PIPE,
}
_PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=90)
_NAMES = st.lists(_PARTS, min_size=1, max_size=4).map("/".join).filter(lambda name: name.strip("/") == name)
_MEMBERS = st.lists(
    st.tuples(
        _NAMES,
        st.binary(max_size=1500),
        st.sampled_from(sorted(_KINDS)),
        st.floats(-1e9, 1e10, allow_nan=False).map(lambda time: round(time, 3)),
        _NAMES,
    ),
    max_size=6,
)


def _read(content: bytes, piece: int = 1000) -> list[tuple[str, Kind, int, bytes, str]]:
    chunks = iter([memoryview(content[i : i + piece]) for i in range(0, len(content), piece)])
    reader = TarReader(chunks, "a.tar")
    return [(each.name, each.kind, each.mtime_ns, reader.content(), each.link) for each in reader]


@settings(max_examples=150)
@given(_MEMBERS, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(1, 3000))
def test_members_are_those_that_tarfile_finds(
    members: list[tuple[str, bytes, bytes, float, str]], style: int, piece: int
) -> None:
    """A long or unusual name, a time, a link or a content is read as another."""
    made = []
    for name, content, kind, time, link in members:
        is_file = kind in (tarfile.REGTYPE, tarfile.AREGTYPE)
        has_link = kind in (tarfile.LNKTYPE, tarfile.SYMTYPE)
        mtime = time if style == tarfile.PAX_FORMAT else float(int(time))
        made.append(
            member(name, content if is_file else b"", type=kind, mtime=mtime, linkname=link if has_link else "")
        )
    tar = tar_of(made, style)
    found = _read(tar, piece)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        theirs = archive.getmembers()
        contents = [archive.extractfile(each).read() if each.isreg() else b"" for each in theirs]
    assert [(name.removesuffix("/"), kind, link) for name, kind, _, _, link in found] == [
        (each.name, _KINDS[each.type], each.linkname) for each in theirs
    ]
    assert [content for _, _, _, content, _ in found] == contents
    for (_, _, mtime_ns, _, _), each in zip(found, theirs, strict=True):
        assert abs(mtime_ns / 1e9 - each.mtime) < 1e-6 * max(1, abs(each.mtime))


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_name_with_a_slash_where_headers_end_is_that_of_a_file(style: int) -> None:
    """The band files below a folder of three letters, whose names have a slash as byte 100, pass for folders."""
    key = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"
    name = f"S2v/{key[:-6]}/{key}/{key}_B02.tif"
    assert name[99] == "/"
    assert [found[:2] for found in _read(tar_of([member(name, b"x")], style))] == [(name, Kind.FILE)]


def _numbered(content: bytes, field: slice, value: bytes) -> bytes:
    """Return a tar whose first header has another number, and the checksum that fits."""
    head = bytearray(content[:BLOCK])
    head[field] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + content[BLOCK:]


_SIZE = slice(124, 136)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (b"\xff" * 12, "p/x.tif has a size of -1"),
        (b"\x80" + (MAX_MEMBER + 1).to_bytes(11, "big"), "p/x.tif has 4,294,967,297 bytes"),
        (b"\x80" + b"\xff" * 11, "p/x.tif has 309,485,009,821,345,068,724,781,055 bytes"),
        (b"77777777777\0", "p/x.tif has 8,589,934,591 bytes"),
        (b"-0000000001\0", "p/x.tif has a size of -1"),
        (b"0000000080x\0", "size of p/x.tif is"),
        (b"00000010000\0", "in the middle of member p/x.tif"),
    ],
)
def test_a_size_that_cannot_be_is_refused(size: bytes, message: str) -> None:
    """A size without end or below nothing makes the reader run away, or back."""
    with pytest.raises(PipelineError, match=message):
        _read(_numbered(tar_of([member("p/x.tif", b"abc")])[: 2 * BLOCK], _SIZE, size))


def test_an_archive_that_is_cut_off_is_refused_wherever_it_is_cut() -> None:
    """A truncated archive passes for a whole one."""
    tar = tar_of([member("a/b.tif", b"x" * 700), member("c" * 200, b"y")])
    end = len(tar.rstrip(b"\0"))
    end += -end % BLOCK
    assert len(_read(tar[: end + 2 * BLOCK])) == 2
    for length in range(0, end + 2 * BLOCK, 37):
        within = "damaged at its first header" if length >= 262 else "expected a folder of patches"
        with pytest.raises(PipelineError, match="is cut off: it ends" if length >= BLOCK else within):
            _read(tar[:length])


def test_damage_is_refused() -> None:
    """A changed bit of a header makes a member vanish, or another one of it."""
    tar = tar_of([member("a/b.tif", b"x" * 700)])
    for at in range(0, BLOCK - 12, 7):
        damaged = bytearray(tar)
        damaged[at] ^= 4
        # The letters "ustar" are at 257.
        said = "expected a folder of patches or an archive" if 257 <= at < 262 else "is damaged at its first header: "
        with pytest.raises(PipelineError, match=said):
            _read(bytes(damaged))
    for tail, message in [(b"x" + bytes(BLOCK), "continues after the end"), (bytes(65 << 20), "zeros after the end")]:
        with pytest.raises(PipelineError, match=message):
            _read(tar + tail, 1 << 20)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", " is empty, expected a folder of patches or an archive: .tar, .tar.zst, "),
        (b"PK\x03\x04" + bytes(600), "it holds a ZIP archive; unpack it and name the folder"),
        (
            b"PAR1" + bytes(range(256)) * 3,
            "it holds Parquet, such as a table of BigEarthNet; tables go with `metadata=`",
        ),
        (b"\n<!DOCTYPE html><p>404", "it holds a page of HTML, as servers send in place of a file; get it again"),
        ("Straße\n".encode() * 64, "it holds text"),
        (b"\x9f\x51" * 300, "it holds nothing that is known here; its first bytes are 9f 51 9f 51 9f 51 9f 51"),
        (bytes(100), "it holds zeros"),
    ],
)
def test_another_file_is_called_by_its_kind(content: bytes, said: str) -> None:
    """A user who names a wrong file reads of the checksum of a tar header, and not what the file is."""
    with pytest.raises(PipelineError) as caught:
        _read(content)
    assert said in str(caught.value)
    assert "checksum" not in str(caught.value)


def test_an_extended_header_that_lies_is_refused() -> None:
    """A long name of gigabytes fills the memory; a record without end is read beyond it."""
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        head = _numbered(tar_of([member("p", b"", type=kind)]), _SIZE, b"00010000000\0")
        with pytest.raises(PipelineError, match="has 2,097,152 bytes, expected at most"):
            _read(head + bytes(3 << 20), 1 << 20)
    for content in (b"99 path=x\n", b"path=x\n", b"0 path=x\n", b"9 pathxx\n", b"-5 path=x\n"):
        with pytest.raises(PipelineError, match="has a record that is none"):
            _read(tar_of([member("p", content, type=tarfile.XHDTYPE)]))
    for size in ("-1", "1e3", "9" * 30, "٣"):
        record = f" size={size}\n".encode()
        length = len(record) + 2
        content = b"%d%s" % (length, record)
        with pytest.raises(PipelineError, match="expected 0 or more bytes"):
            _read(tar_of([member("p", content, type=tarfile.XHDTYPE), member("q", b"x")]))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a/b/c", ("a/b", "c", "")),
        ("c", ("", "c", "")),
        ("./a//b/./c/", ("a/b", "c", "")),
        (".", ("", "", "")),
        ("/a/b", ("a", "b", "an absolute path")),
        ("a/../b/c", ("b", "c", "a path with '..'")),
        ("../../b", ("", "b", "a path with '..'")),
        ("a/..", ("", "", "a path with '..'")),
        ("a/..b/.c", ("a/..b", ".c", "")),
        ("a/" * 70 + "b", ("a/a", "b", "too long a path")),
        ("", ("", "", "")),
    ],
)
def test_places(name: str, place: tuple[str, str, str]) -> None:
    """A name that leads out of the archive passes for one within."""
    assert place_of(name) == place


@pytest.mark.parametrize("time", ["1.²", "1.٣", "²", "nan", "1e9", "9" * 30, "1." + "9" * 5000, "--1", "", "-1.5"])
def test_a_time_of_any_text_is_read(time: str) -> None:
    """A time with a digit that is no decimal one ends a build in a traceback."""
    header = tarfile.TarInfo("a")
    header.mtime, header.pax_headers = 7, {"mtime": time}
    (found,) = _read(header.tobuf(tarfile.PAX_FORMAT) + bytes(2 * BLOCK))
    assert found[2] == {"-1.5": -1_500_000_000, "1." + "9" * 5000: 1_999_999_999}.get(time, 7_000_000_000)

"""Lists of patch names: every dialect reads equal, for builds and for training, and nothing large is read."""

import bz2
import csv
import gzip
import io
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tables import read_split_lists
from shards.text.name_list import HEADINGS, MAX_LINES, BadNameList, read_names
from trainer.data.subset.patch_list import read_keys
from trainer.errors import BadPatchList

names_of_patches = st.lists(
    st.builds(
        "S2{}_MSIL2A_2017{:02d}13T101031_{}{}_{}".format,
        st.sampled_from("ABC"),
        st.integers(1, 12),
        st.sampled_from(["", "N9999_R022_T33UUP_"]),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=20,
    unique=True,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a list can be written again and again."""
    return tmp_path_factory.mktemp("lists")


# Without a deadline, because each one writes files.
@settings(max_examples=60)
@given(
    names_of_patches,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([None, *HEADINGS, "Patch_ID"]),
    st.booleans(),
    st.sampled_from([(), ("train",), ("Beaches, dunes, sands", "x;y"), ("['Arable land'\n 'Pastures']",)]),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["", "# made by hand, once\n\n"]),
    st.sampled_from(["", "/"]),
    st.sampled_from([("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)]),
)
# Without a heading, with as many commas in a class as there are separators.
@example(
    ["S2A_MSIL2A_20170113T101031_0_0"],
    ";",
    "\n",
    0,
    None,
    False,
    ("Beaches, dunes, sands", "x;y"),
    "",
    "",
    "/",
    ("", bytes),
)
def test_one_set_of_names_in_every_dialect(
    folder: Path,
    names: list[str],
    delimiter: str,
    end: str,
    quoting: int,
    heading: str | None,
    index: bool,
    more: tuple[str, ...],
    mark: str,
    comment: str,
    tail: str,
    packing: tuple[str, Callable[[bytes], bytes]],
) -> None:
    """A list of the same patches is read as other patches, or differently by a build and by a run."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    if heading:
        writer.writerow([*([""] if index else []), heading, *(f"column {i}" for i in range(len(more)))])
    for i, name in enumerate(names):
        writer.writerow([*([i] if index else []), name + tail, *(cell.replace("\n", end) for cell in more)])
    suffix, compress = packing
    content = compress((mark + comment.replace("\n", end) + text.getvalue()).encode())
    for old in folder.iterdir():
        old.unlink()
    path = folder / f"train.csv{suffix}"
    path.write_bytes(content)
    assert read_names(path) == names
    assert read_keys(path) == names
    assert list(read_split_lists(folder).split_of) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a_1\0\nb_2\n", "it holds the byte 0x00"),
        (b"a_1\n\x1b[2J\n", "it holds the byte 0x1b"),
        (b"\xff\xfea\0", "it is UTF-16, expected text in UTF-8"),
        (b"\xfe\xff\0a", "it is UTF-16, expected text in UTF-8"),
        (gzip.compress("\ufeffa_1\n".encode("utf-16-le"), mtime=0), "it is UTF-16, expected text in UTF-8"),
        (b"a_1\n\xe9\n", "'utf-8' codec"),
        (b'"a_1\nb_2\n', "a quote that is not closed"),
        (b'"a_1\nb_2"\n', "a quote that is not closed"),
        (b'patch_id,width\na_1,5"\nb_2,6"\n', "has a quote within a cell"),
        (b"x,patch_id\n1,a_1\nb_2\n", "has the row 'b_2', expected a patch name in column 2"),
        (b"S2A_1_1,S2A_1_2,S2A_1_3\n", "several patches in the row 'S2A_1_1,S2A_1_2,S2A_1_3', expected a patch name a"),
        (b"", "names no patch"),
        (b",patch_id\n", "names no patch"),
        (b"\x1f\x8b\x08\0damaged", "cannot be read"),
        (b"BZh9damaged", "cannot be read"),
        (b"a" * 100_000, "a line of more than 65,536 bytes"),
    ],
)
def test_what_is_no_list_is_one_line_in_both_places(tmp_path: Path, content: bytes, message: str) -> None:
    """A damaged list is read in part, or ends in a traceback in one of the two places."""
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    for read, error in ((read_names, BadNameList), (read_keys, BadPatchList)):
        with pytest.raises(error, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(PipelineError, match=message):
        read_split_lists(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "open_file", "unit"),
    [
        (".gz", gzip.open, b"a_1\n"),
        (".bz2", bz2.open, b"\n"),
        (".gz", gzip.open, b"a"),
        (".bz2", bz2.open, b"\0"),
    ],
)
def test_bombs_end_in_one_line(
    tmp_path: Path, suffix: str, open_file: Callable[..., io.BufferedIOBase], unit: bytes
) -> None:
    """A list of some kilobytes takes all memory, or an hour."""
    path = tmp_path / f"list.csv{suffix}"
    part = unit * ((1 << 20) // len(unit))
    with open_file(path, "wb", 1) as file:
        for _ in range(1 + MAX_LINES * len(unit) // len(part)):
            file.write(part)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(BadNameList, match=r"more than|byte 0x00"):
        read_names(path)
    assert time.process_time() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A pipe without a writer, or a device without an end, holds a command for ever."""
    os.mkfifo(tmp_path / "train.csv")
    for path, what in ((tmp_path / "train.csv", "named pipe"), (Path("/dev/zero"), "device"), (tmp_path, "folder")):
        with pytest.raises(BadNameList, match=what):
            read_names(path)
    with pytest.raises(PipelineError, match="named pipe"):
        read_split_lists(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a_1  # clouds\nb_2\t# see a_1, b_2\n",
        'a_1 #first\nb_2 # an open " quote\n',
        'patch_id # of v2\n"a_1" # x; y; z\nb_2\n',
        "patch_id,split # both; of; v2\na_1,train # x\nb_2,test\n",
        "Row #,patch_id\n1,a_1\n2,b_2\n",
        'note,patch_id\n"see # 5",a_1\n"two\n # lines",b_2\n',
    ],
)
def test_comments_after_names_are_no_part_of_them(tmp_path: Path, text: str) -> None:
    """A name with a comment behind it is another name, or a `#` in a column cuts the names off."""
    path = tmp_path / "train.csv"
    path.write_text(text)
    assert read_names(path) == ["a_1", "b_2"]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffa_1\n\ufeffb_2\n",
        "\ufeffpatch_id,x\na_1,1\n\ufeffpatch_id,x\nb_2,1\n",
        'a_1\n\ufeff\ufeff# more\n\ufeff\n\ufeff"b_2"\n',
        "sep=;\npatch_id;x\na_1;1\nb_2;2\n",
        "\ufeffSEP=,\r\nx,patch_id\r\n1,a_1\r\n2,b_2\r\n",
    ],
)
def test_what_spreadsheets_add_is_no_name(tmp_path: Path, text: str) -> None:
    """A mark in front of a name, as where lists were joined, makes another name of it, which the source lacks."""
    path = tmp_path / "train.csv"
    path.write_text(text)
    assert read_names(path) == ["a_1", "b_2"]

"""`bep show`: which patches it takes, what is on the sheet, and what a terminal receives."""

import base64
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import shards
from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.display.pictures import BLOCK_SIDE, blocks, iterm2, kitty, protocol
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.pictures.compose import COMPOSITIONS, MISSING, colours, composition_of
from bigearth_pipeline.pictures.sheet import LINE_HEIGHT, MARGIN
from bigearth_pipeline.show.choose import FEW, MOST, Choice, chosen_rows
from bigearth_pipeline.show.rows import row_of, stretch_of
from shards import CLASSES, Store
from shards.errors import InvalidValue
from shards.layout.class_names import class_index
from shards.layout.classes import FORTY_THREE
from shards.testing.stores import make_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 30 patches."""
    return make_store(tmp_path_factory.mktemp("show") / "store", {"train": 20, "validation": 10})


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    """That store, open."""
    with shards.open(folder) as opened:
        yield opened


def show(*arguments: object) -> Result:
    """Run `bep show`."""
    return CliRunner().invoke(main, ["show", *map(str, arguments)])


def test_keys_and_rows_come_in_their_order(store: Store) -> None:
    """The picture of another patch is next to a key."""
    keys = [store.index.key(7), store.index.key(2)]
    assert chosen_rows(store.index, Choice(keys=keys, rows=[5, 5])).tolist() == [7, 2, 5, 5]


@given(
    random=st.none() | st.integers(1, 40),
    label=st.none() | st.sampled_from(CLASSES),
    split=st.sampled_from([None, "train", "validation"]),
    seed=st.integers(0, 5),
)
def test_draws_are_of_what_was_asked_for(
    store: Store, random: int | None, label: str | None, split: str | None, seed: int
) -> None:
    """Patches without the class, of another split, twice, or fewer than there are."""
    index, choice = store.index, Choice(random=random, label=label, split=split, seed=seed)
    fitting = [
        row
        for row in range(len(index))
        if (label is None or index.labels()[row][CLASSES.index(label)])
        and (split is None or index.table["split"][row].as_py() == split)
    ]
    if not fitting:
        with pytest.raises(PipelineError, match="no patch"):
            chosen_rows(index, choice)
        return
    found = chosen_rows(index, choice).tolist()
    assert set(found) <= set(fitting)
    assert len(set(found)) == len(found) == min(random or FEW, len(fitting))
    assert found == chosen_rows(index, choice).tolist()


def test_what_does_not_exist_is_one_line(store: Store) -> None:
    """A mistyped key shows another patch, or nothing."""
    for choice, message in (
        (Choice(keys=["x"]), "no patch is called x, expected a key such as"),
        (Choice(rows=[-1]), "`row=-1`, expected 0 to 29"),
        (Choice(rows=[30]), "`row=30`, expected 0 to 29"),
        (Choice(rows=[0] * (MOST + 1)), f"201 patches are chosen, expected at most {MOST}"),
        (Choice(split="test"), "`split=test` has no patch"),
        (Choice(rows=[0], seed=3), "`seed=3` has no effect: nothing is drawn"),
    ):
        with pytest.raises((PipelineError, InvalidValue), match=message):
            chosen_rows(store.index, choice)


def test_classes_of_v1_are_found_where_a_store_has_them(tmp_path: Path, store: Store) -> None:
    """Patches with one of the 43 classes cannot be looked at, or nobody sees which ones a patch has."""
    folder = make_store(tmp_path / "store", {"train": 24}, source_version="v1", labels43=True)
    with shards.open(folder) as opened:
        labels = opened.index.labels(FORTY_THREE)
        place = next(i for i, name in enumerate(FORTY_THREE.names) if name not in CLASSES and labels[:, i].any())
        name = FORTY_THREE.names[place]
        rows = chosen_rows(opened.index, Choice(label=name.upper(), random=24))
        assert rows.tolist() == np.flatnonzero(labels[:, place]).tolist()
        patch = opened.read(int(rows[0]))
        assert f"v1: {', '.join(patch.names43 or ())}" in row_of(patch, COMPOSITIONS[:1], stretch_of(opened)).lines
        # Names of the 19 come first, and a part that is none of them may be several of the others.
        same = chosen_rows(opened.index, Choice(label="arable", random=24))
        assert same.tolist() == np.flatnonzero(opened.index.labels()[:, class_index("arable")]).tolist()
        for text, message in (
            ("marshes", "'Inland marshes' or 'Salt marshes'"),
            ("wetlands", "'Coastal wetlands' or "),
        ):
            with pytest.raises(InvalidValue, match=message):
                chosen_rows(opened.index, Choice(label=text))
    with pytest.raises(InvalidValue, match="no class"):
        chosen_rows(store.index, Choice(label=name))


def test_classes_by_a_part_of_their_name() -> None:
    """One class is taken for another."""
    assert [class_index(name) for name in CLASSES] == list(range(19))
    assert class_index(" urban ") == CLASSES.index("Urban fabric")
    for text, message in (
        ("forest", "may be 'Agro-forestry areas' or 'Broad-leaved forest' or"),
        ("Pasture land", "no class 'Pasture land'; perhaps 'Pastures'"),
        ("", "no class ''; there are Agro-forestry areas; "),
        ("zzz", "no class 'zzz'; there are"),
    ):
        with pytest.raises(InvalidValue, match=re.escape(message)):
            class_index(text)


def test_the_sheet_has_the_pixels_of_the_records(store: Store, folder: Path, tmp_path: Path) -> None:
    """Pictures are of other bands, at another place, or bent."""
    out = tmp_path / "sheet.png"
    result = show(folder, "--row", 3, "--row", 4, "--out", out)
    assert result.output.startswith(f"{out}: 2 patches, "), result.output
    sheet = np.asarray(Image.open(out))
    stretch, top = stretch_of(store), MARGIN
    for row in (3, 4):
        patch = store.read(row)
        for i, composition in enumerate(COMPOSITIONS):
            left = MARGIN + i * (240 + MARGIN)
            shown = sheet[top + LINE_HEIGHT : top + LINE_HEIGHT + 240, left : left + 240]
            expected = colours(patch.s2, composition, stretch).repeat(2, axis=0).repeat(2, axis=1)
            np.testing.assert_array_equal(shown, expected)
        top += 240 + LINE_HEIGHT + MARGIN
    assert (sheet[: MARGIN - 1] == 255).all()


def test_rows_say_what_is_known(store: Store) -> None:
    """Labels of another patch, or missing pixels that look like land."""
    patch = store.read(0)
    row = row_of(patch, COMPOSITIONS, stretch_of(store))
    assert row.lines[0] == patch.key
    assert row.lines[2:] == [f"- {label}" for label in patch.labels] or row.lines[2:] == ["no label"]
    patch.s2.flags.writeable = True
    patch.s2[:7] = 0
    broken = row_of(patch, COMPOSITIONS, stretch_of(store))
    assert broken.lines[-1] == "7 missing values, shown in magenta"
    assert tuple(broken.pictures[0][0, 0]) == MISSING


def test_three_bands_are_shown_as_they_are_written() -> None:
    """Red and blue change places."""
    assert composition_of("b11, B08,B02").bands == ("B11", "B08", "B02")
    assert composition_of("B04,B03,B02") == COMPOSITIONS[0]
    for text in ("B04,B03", "B04,B03,B10", "", "B04;B03;B02"):
        with pytest.raises(InvalidValue, match="expected three of B02"):
            composition_of(text)


@pytest.mark.long
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_blocks_are_means_of_the_pixels(seed: int, columns: int) -> None:
    """A picture in a terminal is upside down, or wider than the terminal."""
    pictures = [np.random.default_rng(seed + i).integers(0, 256, (120, 120, 3), np.uint8) for i in range(3)]
    lines = list(blocks(pictures, columns))
    assert len(lines) == BLOCK_SIDE // 2
    number = min(3, max(1, (columns + 1) // 41))
    for y, line in enumerate(lines):
        text = re.sub(r"\x1b\[[0-9;]*m", "", line)
        assert text == " ".join(["▀" * BLOCK_SIDE] * number)
        cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+)m\x1b\[48;2;(\d+);(\d+);(\d+)m▀", line)
        for x, cell in enumerate(cells):
            picture, column = pictures[x // BLOCK_SIDE], x % BLOCK_SIDE
            for half in (0, 1):
                square = picture[(2 * y + half) * 3 :][:3, column * 3 : column * 3 + 3]
                expected = np.rint(square.mean(axis=(0, 1)))
                np.testing.assert_array_equal(np.array(cell[3 * half : 3 * half + 3], float), expected)


@given(st.binary(max_size=20_000))
def test_protocols_carry_the_file(content: bytes) -> None:
    """A picture of more than 4,096 characters is cut off."""
    parts = re.findall(r"\x1b_G(f=100,a=T,)?m=([01]);([A-Za-z0-9+/=]*)\x1b\\", kitty(content))
    assert base64.b64decode("".join(text for _, _, text in parts)) == content
    assert all(len(text) <= 4096 for *_, text in parts)
    assert [more for _, more, _ in parts] == ["1"] * (len(parts) - 1) + ["0"] * bool(parts)
    text = iterm2(content)
    assert base64.b64decode(text.partition(":")[2][:-1]) == content


def test_a_terminal_is_known_by_its_variables() -> None:
    """Escape sequences fill the screen of a terminal that does not know them."""
    for variables, expected in (
        ({}, "blocks"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM_PROGRAM": "iTerm.app", "TMUX": "x"}, "blocks"),
        ({"TERM": "screen-256color", "TERM_PROGRAM": "WezTerm"}, "blocks"),
    ):
        assert protocol(variables) == expected


def test_a_pipe_gets_captions_alone(folder: Path, store: Store) -> None:
    """A file is filled with escape sequences."""
    result = CliRunner().invoke(main, ["show", str(folder), store.index.key(1)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{store.index.key(1)}\ntrain, ")
    assert "\x1b" not in result.stdout
    assert result.stderr == "pictures need a terminal, or --out FILE.png\n"
    quiet = CliRunner().invoke(main, ["show", str(folder), store.index.key(1), "--quiet"])
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, result.stdout, "")


def test_a_terminal_gets_pictures(folder: Path) -> None:
    """Nothing is seen, or more than fits."""
    leader, follower = pty.openpty()
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM_PROGRAM", "TMUX")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "bigearth_pipeline", "show", str(folder), "--row", "0"],
        stdout=follower,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(follower)
    told = BytesIO()
    while True:
        try:
            part = os.read(leader, 1 << 16)
        except OSError:  # Linux says so of a terminal that nobody writes to any more.
            break
        if not part:
            break
        told.write(part)
    os.close(leader)
    assert process.wait() == 0
    lines = told.getvalue().decode().splitlines()
    assert [line.count("▀") for line in lines[:21]] == [2 * BLOCK_SIDE] * 20 + [0]


@pytest.mark.parametrize("name", ["manifest.json", "train-00000.tar", "sheet", ""])
def test_only_a_picture_is_replaced(name: str, store: Store, tmp_path: Path) -> None:
    """A slip replaces a file of the store, or any other one, with a picture."""
    out = tmp_path / name if name else Path()
    if name:
        out.write_bytes(b"years of work")
    result = show(store.folder, "--random", 1, "--out", out if name else "")
    assert result.exit_code == 1
    assert "expected .png" in result.stderr
    assert not name or out.read_bytes() == b"years of work"


@pytest.mark.long
def test_wrong_input_is_one_line(folder: Path, tmp_path: Path) -> None:
    """A traceback, or a sheet of other patches."""
    (tmp_path / "file").mkdir()
    for arguments, message in (
        ((tmp_path,), "manifest.json"),
        ((folder, "nothing"), "no patch is called nothing"),
        ((folder, "--class", "zzz"), "no class 'zzz'"),
        ((folder, "--bands", "B04"), "--bands B04, expected three of"),
        ((folder, "--row", "99"), "--row 99, expected 0 to 29"),
        ((folder, "--out", tmp_path / "none" / "a.png"), "none"),
    ):
        result = show(*arguments)
        assert result.exit_code in (1, 2)
        assert message in result.stderr
        assert result.stderr.strip().count("\n") == 0, result.stderr

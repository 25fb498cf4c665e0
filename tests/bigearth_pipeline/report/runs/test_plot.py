"""Curves and scores of runs as a picture."""

import json
import re
import shutil
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.figure.look import IN_FILES
from bigearth_pipeline.report.runs.plot import MOST_RUNS, plot_runs
from tests.bigearth_pipeline.cli.calls import assert_one_error, invoke

SERIES = [IN_FILES[f"bep:series-{i}"] for i in (1, 2, 3)]


def has_colour(content: bytes, colour: str) -> bool:
    """Return whether a PNG has pixels of a colour."""
    pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    return bool((pixels == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).any())


def test_each_run_is_drawn(trained: Path, other: Path) -> None:
    """A run is missing in the picture, or is drawn in a colour that stands for one of a page."""
    one, two = plot_runs([trained], "png"), plot_runs([trained, other], "png")
    assert [has_colour(one, colour) for colour in SERIES] == [True, False, False]
    assert [has_colour(two, colour) for colour in SERIES] == [True, True, False]
    assert has_colour(two, IN_FILES["bep:paper"])


def test_an_svg_needs_no_page(trained: Path, other: Path) -> None:
    """The colours of an SVG are variables that only pages define, or it is no XML."""
    content = plot_runs([trained, other], "svg")
    assert ElementTree.fromstring(content).tag.endswith("svg")
    text = content.decode()
    assert "var(--" not in text
    assert SERIES[0] in text
    assert re.findall("#0[1-6]0[1-6]0[1-6]", text) == []


@pytest.mark.parametrize("file_format", ["png", "svg"])
def test_the_same_runs_give_the_same_bytes(file_format: str, trained: Path, other: Path) -> None:
    """A picture changes with the day, and version control shows a change although nothing changed."""
    assert plot_runs([trained, other], file_format) == plot_runs([trained, other], file_format)


def test_scores_are_those_that_the_run_wrote(trained: Path, tmp_path: Path) -> None:
    """Scores by class are left out, or are not of the files."""
    run = shutil.copytree(trained, tmp_path / "run")
    whole = plot_runs([run], "svg")
    [path] = run.glob("metrics-test.json")
    values = json.loads(path.read_text())
    for found in values["classes"].values():
        found["ap"] = None if found["ap"] is None else found["ap"] / 2
    path.write_text(json.dumps(values))
    changed = plot_runs([run], "svg")
    assert changed != whole
    for found in values["classes"].values():
        found["ap"] = None
    path.write_text(json.dumps(values))
    assert len(plot_runs([run], "svg")) < len(changed)


def test_a_run_without_an_epoch_is_refused_or_left_out(trained: Path, tmp_path: Path) -> None:
    """A run that has just begun ends in a traceback, or takes the others along."""
    begun = shutil.copytree(trained, tmp_path / "begun")
    (begun / "metrics.jsonl").write_text("")
    for path in begun.glob("metrics-*.json"):
        path.unlink()
    with pytest.raises(PipelineError, match="no epoch of these runs has ended"):
        plot_runs([begun], "png")
    assert has_colour(plot_runs([begun, trained], "png"), SERIES[1])


def test_more_runs_than_colours_are_refused(trained: Path) -> None:
    """Two runs have the same colour."""
    assert plot_runs([trained] * MOST_RUNS, "png")
    with pytest.raises(PipelineError, match="7 runs, expected at most 6"):
        plot_runs([trained] * (MOST_RUNS + 1), "png")


@pytest.mark.parametrize("command", ["plot", "report"])
def test_a_run_is_not_compared_with_itself(command: str, trained: Path, other: Path, tmp_path: Path) -> None:
    """A run that is named twice by mistake fills a picture or a page with differences of zero."""
    again = trained / "checkpoints" / ".."
    told = invoke(command, trained, other, again, "--out", tmp_path / "out.svg")
    assert told.exit_code == 1
    assert told.output == f"Error: run {trained} is named twice, expected different runs; name it once\n"
    assert not (tmp_path / "out.svg").exists()


def test_colours_are_those_of_the_page() -> None:
    """The page has other colours than pictures."""
    style = files("bigearth_pipeline.report.page").joinpath("style.css").read_text()
    first = dict(reversed(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style)))
    assert {name.removeprefix("bep:"): colour for name, colour in IN_FILES.items()}.items() <= first.items()


def test_the_command_writes_a_picture(trained: Path, tmp_path: Path) -> None:
    """The command writes another format than its file says, or leaves a file behind where it fails."""
    told = invoke("plot", trained, "--out", tmp_path / "run.PNG")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.startswith(f"{tmp_path}/run.PNG: ")
    assert Image.open(tmp_path / "run.PNG").format == "PNG"
    for arguments, message in (
        ((trained, "--out", tmp_path / "run.pdf"), "has the suffix '.pdf', expected .png or .svg"),
        ((tmp_path, "--out", tmp_path / "no.png"), str(tmp_path)),
    ):
        failed = invoke("plot", *arguments)
        assert failed.exit_code == 1
        assert_one_error(failed.stderr, message)
    assert [path.name for path in tmp_path.iterdir()] == ["run.PNG"]


def test_scores_of_other_patches_are_marked(trained: Path, tmp_path: Path) -> None:
    """Curves of different patches stand in one picture as if they compared."""
    run = Path(shutil.copytree(trained, tmp_path / "other"))
    path = run / "description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scored": {"validation": "x", "test": "y"}}))
    assert plot_runs([trained, run], "svg").count(b"of different patches") == 3
    assert b"of different patches" not in plot_runs([trained, trained], "svg")
    pixels = np.asarray(Image.open(BytesIO(plot_runs([trained, run], "png"))).convert("RGB"))
    edges = [pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]]
    assert [(edge == pixels[0, 0]).all() for edge in edges] == [True] * 4, "words are cut off"

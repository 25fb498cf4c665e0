"""`bep explain` on a run of two steps: what it writes, and what it refuses."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from bigearth_pipeline.cli import main
from bigearth_pipeline.report.explain.config import ExplainConfig
from bigearth_pipeline.report.explain.files import held
from bigearth_pipeline.report.explain.reference import NONE, beside, classes_of
from bigearth_pipeline.report.explain.work import explain
from shards import BANDS, CLASSES
from shards.layout.record import RecordGroup
from shards.testing.stores import make_store
from tests.bigearth_pipeline.report.pages import Html
from tests.bigearth_pipeline.scenes.making import random_pixels, write_files
from tests.support.data.building import contents
from trainer.config.options import TrainConfig
from trainer.errors import RunExists
from trainer.export.folder import check_out
from trainer.runs.predictions import Predictions
from trainer.training.start import train

FAST = ("--no-sanity", "--per-patch", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with its predictions, beside its store."""
    folder = tmp_path_factory.mktemp("explain")
    codes = RecordGroup("clc", 10, ("CLC",), "uint16", role="codes")
    store = make_store(folder / "store", {"train": 16, "validation": 8, "test": 6}, extras=[codes])
    train(TrainConfig.of(shards=store, out=folder / "run", epochs=1, batch_size=8, test=True))
    return folder / "run"


def bep(*arguments: object) -> Result:
    """Call `bep explain`."""
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


@pytest.mark.long
def test_all_is_written_and_says_the_same(trained: Path, tmp_path: Path) -> None:
    """Pictures, arrays or tables are absent, or differ from each other."""
    out = tmp_path / "out"
    told = bep(trained, "--worst", 2, "--patches", 6, "--square", 600, *FAST, "--score", "--out", out)
    assert told.exit_code == 0, told.output
    facts = json.loads((out / "explanations.json").read_text())
    predictions = Predictions.read(trained / "predictions-test.parquet")
    p, y = predictions.probabilities.astype(np.float64).clip(1e-4, 1 - 1e-4), predictions.labels
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
    worst = [predictions.keys[i] for i in np.argsort(-loss)[:2]]
    assert [pair["patch"] for pair in facts["pairs"]] == worst
    page = Html.of((out / "index.html").read_bytes())
    # Two patches are too few to resample.
    assert all("(" not in cell for cell in page.table("scores-table")["band-occlusion"])
    weights = page.table("patches-integrated-gradients")
    for key in worst:
        arrays = np.load(out / key / "attributions.npz")
        assert arrays["bands"].tolist() == list(BANDS)
        assert arrays["integrated_gradients_band_pixels"].shape == (1, 12, 120, 120)
        assert arrays["grad_cam_pixels"].shape == arrays["occlusion_pixels"].shape == (1, 120, 120)
        shown = [float(text.replace("−", "-")) for text in weights[key][1:13]]
        np.testing.assert_allclose(shown, arrays["integrated_gradients_bands"][0], atol=0.006)
        assert len(list((out / key).glob("*.png"))) == 4
    assert set(facts["permutation"]["loss"][CLASSES[0]]) == set(BANDS)
    assert [each["kind"] for each in facts["scores"]["integrated-gradients"]] == ["pixels", "bands"]
    assert {url.partition(":")[0] for tag, url in page.links() if tag == "img"} == {"data"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    again = bep(trained, "--random", 1, *FAST, "--method", "band-occlusion", "--out", out)
    assert again.exit_code == 1
    assert "--overwrite" in again.output
    key = "test_3"
    (out / worst[0] / "notes.txt").write_text("mine")
    again = bep(trained, key, *FAST, "--method", "band-occlusion", "--out", out, "--overwrite")
    assert again.exit_code == 1
    assert f"{out} holds {worst[0]}/notes.txt, which is of no explanations" in again.output
    (out / worst[0] / "notes.txt").unlink()
    again = bep(trained, key, *FAST, "--method", "band-occlusion", "--out", out, "--overwrite")
    assert again.exit_code == 0, again.output
    assert {path.name for path in out.iterdir()} == {"index.html", "explanations.json", key}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--class", "Pastrues"], "no class 'Pastrues'; perhaps 'Pastures'"),
        (["--class", "waters"], "class 'waters' may be 'Inland waters' or 'Marine waters'; write more of it"),
        (["nobody"], "nobody is no file or folder, and no key of the store, such as "),
        (["--class", "pasture"], "no patch of test has the class Pastures"),
        (["--random", 1, "--worst", 1], "patches are chosen in two ways"),
        (["test_3", "test_1", "test_3"], "patch test_3 is among the inputs twice; name it once"),
        ([], "no patch is chosen"),
        (["--random", 0], "--random 0, expected 1 to 200"),
        (["--random", 1, "--square", 70], "--square 70 m, expected one of 60"),
        (["--random", 1, "--method", "grad-cam", "--square", 60], "--square has no effect: it is for the method occl"),
        (["--random", 1, "--method", "grad-cam", "--patches", 9], "--patches has no effect: it is for the method perm"),
        (["--worst", 1, "--class", "Pastures", "--per-patch", 2], "--per-patch has no effect: the classes are named"),
        (["test_3", "--method", "occlusion", "--split", "train"], "--split has no effect: the patches are named"),
        (["--worst", 1, "--method", "occlusion", "--no-sanity", "--seed", 1], "--seed has no effect: nothing is drawn"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[object], line: str, trained: Path, tmp_path: Path) -> None:
    """A mistake ends in a traceback, leaves files, or does not say what is wrong."""
    told = bep(trained, *arguments, "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert line in told.output
    assert len(told.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_other_version_needs_a_word(trained: Path, tmp_path: Path) -> None:
    """Scores on patches that a run was trained on are explained as those of unseen ones."""
    other = make_store(tmp_path / "store", {"test": 2}, source_version="v1")
    options = ["--random", 1, "--shards", other, *FAST, "--method", "band-occlusion", "--out", tmp_path / "out"]
    told = bep(trained, *options)
    assert told.exit_code == 1
    assert "was trained on BigEarthNet v2, the shards are v1" in told.output
    assert "--allow-mixed-version uses it all the same" in told.output
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    told = bep(trained, *options, "--allow-mixed-version")
    assert told.exit_code == 0, told.output


def test_an_address_is_no_patch(trained: Path, tmp_path: Path) -> None:
    """An address is taken for a file of this machine, or for the key of a patch."""
    told = bep(trained, "s3://shelf/store", "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert told.output.startswith("Error: input s3://shelf/store is an address, expected patches of this machine")
    assert told.output.rstrip().endswith("and --shards s3://shelf/store")


def test_a_scene_is_no_patch(trained: Path, tmp_path: Path) -> None:
    """The message requests an option that this command does not have."""
    scene = write_files(tmp_path / "scene", random_pixels(20, 20))
    told = bep(trained, scene, "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert (
        told.output.strip()
        == f"Error: input {scene} is a scene, expected patches; cut it, or predict it by bep predict"
    )


FACTS = '{"run": [], "seed": 0, "methods": [], "pairs": []}'
OTHERS = {
    "no facts": ({"mine.txt": "mine"}, "mine.txt"),
    "facts of something else": ({"explanations.json": '{"why": "because"}', "mine.txt": "mine"}, "explanations.json"),
    "facts that nest": ({"explanations.json": "[" * 100_000, "a.txt": "mine"}, "a.txt"),
    "a file beside": ({"explanations.json": FACTS, "mine.txt": "mine"}, "mine.txt"),
    "a folder beside": ({"explanations.json": FACTS, "thesis/true-colour.png": "mine"}, "thesis"),
    "a file in a patch": (
        {"explanations.json": FACTS, "p/true-colour.png": "", "p/attributions.npz": "", "p/t.tex": "mine"},
        "p/t.tex",
    ),
    "a folder in a patch": (
        {"explanations.json": FACTS, "p/true-colour.png": "", "p/attributions.npz": "", "p/q/t.tex": "mine"},
        "p/q",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_of_others_is_left_alone(name: str, trained: Path, tmp_path: Path) -> None:
    """`--overwrite` deletes all of a folder that has a file called `explanations.json`."""
    files, stranger = OTHERS[name]
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    before = contents(tmp_path)
    told = bep(trained, "--random", 1, "--out", tmp_path, "--overwrite")
    assert told.exit_code == 1
    assert f"{tmp_path} holds {stranger}, which is of no explanations" in told.output
    assert contents(tmp_path) == before


@pytest.mark.long
def test_help_and_training_do_not_import_captum() -> None:
    """The start of every command, or of a training, waits for a library that it does not use."""
    code = "import sys, bigearth_pipeline.cli.models.explain, trainer.training.start; print('captum' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_codes_become_classes(tmp_path: Path) -> None:
    """A code is taken for another class, other numbers for codes, or the map is looked for elsewhere."""
    codes = np.full((120, 120), 999, np.uint16)
    codes[:2, :3] = [[111, 211, 523], [312, 332, 231]]
    found = classes_of(codes)
    assert found is not None
    names = [None if value == NONE else CLASSES[value] for value in found[:2, :3].ravel()]
    assert names == ["Urban fabric", "Arable land", "Marine waters", "Coniferous forest", None, "Pastures"]
    assert (found[2:] == NONE).all()
    codes[0, 0] = 7
    assert classes_of(codes) is None
    patch = tmp_path / "BigEarthNet-S2" / "P" / "P_1_2"
    patch.mkdir(parents=True)
    assert beside(patch) is None
    maps = tmp_path / "Reference_Maps" / "P" / "P_1_2"
    maps.mkdir(parents=True)
    codes[0, 0] = 111
    profile = {"driver": "GTiff", "width": 120, "height": 120, "count": 1, "dtype": "uint16"}
    with rasterio.open(maps / "P_1_2_reference_map.tif", "w", **profile) as target:
        target.write(codes, 1)
    np.testing.assert_array_equal(beside(patch), found)


class Recorder:
    """Keeps the phases that it receives."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.phases: list[list[object]] = []

    def say(self, text: str) -> None:
        """Keep a line."""
        self.said.append(text)

    def begin(self, title: str, total: int, one: str, many: str | None = None) -> None:
        """Keep title and total."""
        self.phases.append([title, total, 0])

    def advance(self, count: int) -> None:
        """Count."""
        self.phases[-1][2] += count  # type: ignore[operator]


@pytest.mark.long
def test_every_phase_says_how_far_it_is(trained: Path, tmp_path: Path) -> None:
    """A phase begins in silence, or ends before or beyond its total."""
    recorder = Recorder()
    chosen = ("grad-cam", "band-occlusion", "permutation")
    config = ExplainConfig(
        run=trained, out=tmp_path / "out", random=2, per_patch=1, methods=chosen, patches=4, score=True
    )
    config = replace(config, split="validation")
    (trained / "predictions-validation.parquet").unlink(missing_ok=True)
    explain(config, recorder)
    config = replace(config, out=tmp_path / "worst", random=None, worst=1, methods=chosen[:1], patches=500)
    explain(replace(config, sanity=False, score=False), recorder)
    titles = [title for title, _, _ in recorder.phases]
    assert titles == [
        "grad-cam", "band-occlusion", "permutation", "randomisation test", "deletion and insertion", "writing",
        "predicting the validation split for its worst", "grad-cam", "writing",
    ]  # fmt: skip
    for title, total, done in recorder.phases:
        assert total == done, title
        assert total, title


def test_fewer_patches_than_asked_for_are_a_line(trained: Path, tmp_path: Path) -> None:
    """`random=9` gives six patches, and nothing says why."""
    recorder = Recorder()
    config = ExplainConfig(run=trained, out=tmp_path / "out", random=9, methods=("grad-cam",), sanity=False)
    assert len(explain(config, recorder).explained.patches) == 6
    assert "test has 6 patches, fewer than 9: all are explained" in recorder.said


def test_a_second_explanation_into_a_folder_is_refused(trained: Path, tmp_path: Path) -> None:
    """Two processes write into one folder at a time, or the lock stays."""
    with held(tmp_path / "out"):
        told = bep(trained, "--random", 1, *FAST, "--method", "grad-cam", "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert f"{tmp_path / 'out'} is in use by another explanation" in told.output
    assert list(tmp_path.iterdir()) == []


def test_results_are_in_no_run_or_store(trained: Path) -> None:
    """Explanations or an export lie within a run or a store, where nobody looks for them and checks find strays."""
    for place, what in ((trained, "run"), (trained.parent / "store", "store")):
        for out in (place, place / "sub"):
            told = bep(trained, "--random", 1, "--out", out)
            assert (told.exit_code, f"a {what}, expected a folder outside of one" in told.output) == (1, True)
            with pytest.raises(RunExists):
                check_out(out, overwrite=False)
        assert not (place / "sub").exists()


def test_a_store_as_an_input_says_what_to_do(trained: Path, tmp_path: Path) -> None:
    """A store is taken for a tree of patches, or the line does not say how to choose from it."""
    told = bep(trained, trained.parent / "store", "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert f"--shards {trained.parent / 'store'} --random N" in told.output

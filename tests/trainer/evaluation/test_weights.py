"""Weights of others, evaluated without a run: by file with options, and by folder with what its `config.json` says."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

import shards
from shards import CLASSES
from tests.trainer.conftest import Run
from tests.trainer.evaluation.test_evaluation import call, evaluated
from trainer.models.published import PAPER

BANDS = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
OLD = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"]


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    """A network with random weights that sees `BANDS` and gives the classes in alphabetical order."""
    torch.manual_seed(3)
    net = timm.create_model("test_resnet", in_chans=len(BANDS), num_classes=len(CLASSES))
    torch.nn.init.normal_(net.fc.weight)
    return net.eval()


def published(net: torch.nn.Module, folder: Path, channels: list[str], classes: list[str]) -> Path:
    """Write the same network with its channels and classes in another order, as the BigEarthNet v2.0 models are."""
    state = {name: value.clone() for name, value in net.state_dict().items()}
    first = state["conv1.0.weight"]
    by_band = {band: first[:, i] for i, band in enumerate(BANDS)} | {"VV": first[:, 0] * 9, "VH": first[:, 1] * 9}
    state["conv1.0.weight"] = torch.stack([by_band[name] for name in channels], 1)
    for name in ("fc.weight", "fc.bias"):
        state[name] = state[name][[CLASSES.index(label) for label in classes]]
    path = folder / "published.ckpt"
    torch.save({"state_dict": {f"model.vision_encoder.{name}": value for name, value in state.items()}}, path)
    return path


def logits_of(net: torch.nn.Module, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels of the test split, computed without the trainer."""
    with shards.open(folder) as store, torch.no_grad():
        statistics = store.manifest.splits["train"].statistics
        images, labels = [], []
        for row in store.index.rows("test"):
            patch = store.read(int(row))
            bands = []
            for band in BANDS:
                pixels = torch.from_numpy(patch.band(band).astype("float32"))
                pixels = (pixels - statistics[band].mean) / statistics[band].std
                bands.append(pixels.repeat_interleave(120 // len(pixels), 0).repeat_interleave(120 // len(pixels), 1))
            images.append(torch.stack(bands))
            labels.append(torch.tensor([float(name in patch.labels) for name in CLASSES]))
        return net(torch.stack(images)), torch.stack(labels)


@pytest.mark.parametrize(
    ("channels", "classes", "said"),
    [
        (BANDS, CLASSES, ["--weights-bands", "reben-s2-v0.2.0"]),
        (OLD, CLASSES, ["--weights-bands", "reben-s2-v0.1.1"]),
        (["VV", "VH", *BANDS], CLASSES, ["--weights-bands", "reben-all-v0.2.0"]),
        (OLD, PAPER, ["--weights-bands", ",".join(OLD), "--weights-classes", "paper"]),
    ],
)
def test_published_weights_give_their_own_scores(
    net: torch.nn.Module, folder: Path, tmp_path: Path, channels: list[str], classes: list[str], said: list[str]
) -> None:
    """Published weights are evaluated on wrong bands or wrong classes."""
    path, out = published(net, tmp_path, channels, list(classes)), tmp_path / "results.json"
    options = ["--weights", path, "--model", "test_resnet", "--bands", "s2-10", "--shards", folder, *said]
    found = evaluated(*options, "--out", out)
    logits, labels = logits_of(net, folder)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert (found["count"], found["tuned"], found["thresholds"]) == (20, None, None)
    assert (found["epoch"], found["trained_on"], found["weights"]["file"]) == (None, None, str(path))
    assert found["weights"]["dropped"] == [name for name in channels if name not in BANDS]
    assert json.loads(out.read_text()) == found


def test_statistics_of_a_file_count(net: torch.nn.Module, folder: Path, run: Run, tmp_path: Path) -> None:
    """Pixels are normalised by other statistics than those that were named."""
    path = published(net, tmp_path, BANDS, list(CLASSES))
    options = ["--weights", path, "--model", "test_resnet", "--bands", "s2-10", "--shards", folder]
    options += ["--weights-bands", "reben-s2-v0.2.0"]
    expected = evaluated(*options)
    assert evaluated(*options, "--statistics", run.config.run.out / "statistics.json")["loss"] == expected["loss"]
    statistics = json.loads((run.config.run.out / "statistics.json").read_text())
    turned = {what: {band: values[what] for band, values in statistics.items()} for what in ("mean", "std")}
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps(turned))
    assert evaluated(*options, "--statistics", file)["loss"] == expected["loss"]
    turned["mean"]["B8A"] += 1000
    file.write_text(json.dumps(turned))
    assert evaluated(*options, "--statistics", file)["loss"] != expected["loss"]


def test_a_checkpoint_of_ours_knows_all(run: Run, folder: Path) -> None:
    """A checkpoint outside of its run gives other results than in it."""
    before = json.loads((run.config.run.out / "metrics-test.json").read_text())
    path = run.config.run.out / "checkpoints/best.pt"
    found = evaluated("--weights", path, "--shards", folder)
    # One in a batch of 256 and in batches of 8: the last bits differ.
    assert found["ap_macro"] == pytest.approx(before["ap_macro"], abs=1e-6)
    assert (found["thresholds"], found["rows_sha256"]) == (before["thresholds"], before["rows_sha256"])
    assert found.keys() == before.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "--model", "resnet18"], "--model is for --weights; a run knows it"),
        (["{run}", "--out", "{tmp}/o.json"], "--out is for --weights"),
        (["--weights", "{weights}"], "--shards DIR, are missing"),
        (["--weights", "{weights}", "--shards", "{store}"], "give --model and --bands"),
        (["{all}"], "look at 10 channels and do not say which bands they look at; say it by --weights-bands"),
        (["{all}", "--weights-bands", "B02"], "look at 10 channels, but 1 are named"),
        (
            ["{all}", "--weights-bands", "configilm-s2"],
            "--weights-classes alphabetical or --weights-classes paper\n",
        ),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--out", "{weights}"], "exists already; name a new file"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--out", "{tmp}/no/o.json"], "there is no folder"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--statistics", "{weights}"], "statistics"),
        (["{all}", "--weights-bands", "reben-s2-v0.2.0", "--statistics", "{tmp}"], "it is a folder"),
        (
            ["--weights", "{best}", "--shards", "{store}", "--bands", "rgb"],
            "of ours, which knows its bands; do not",
        ),
    ],
)
def test_errors_are_one_line(
    net: torch.nn.Module, run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """A mistake about weights ends in a traceback, or in results of something else."""
    weights, store = published(net, tmp_path, BANDS, list(CLASSES)), run.config.data.shards
    names = {"run": run.config.run.out, "weights": weights, "store": store, "tmp": tmp_path}
    names["best"] = run.config.run.out / "checkpoints/best.pt"
    if arguments[:1] == ["{all}"]:
        known = ["--weights", "{weights}", "--shards", "{store}", "--model", "test_resnet", "--bands", "s2-10"]
        arguments = known + arguments[1:]
    result = call(*(argument.format(**names) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "{}",
        '{"B02": 3}',
        '{"B02": {"mean": 1}}',
        '{"B02": {"mean": 1, "std": 0}}',
        '{"B02": {"mean": NaN, "std": 1}}',
        '{"B02": {"mean": true, "std": 1}}',
        '{"mean": {"B02": "1"}, "std": {"B02": 1}}',
        '{"B02": {"mean": 1e999, "std": 1}}',
        "[" * 100_000,
    ],
)
def test_statistics_that_are_none(net: torch.nn.Module, folder: Path, tmp_path: Path, content: str) -> None:
    """Pixels are normalised by something that is no number."""
    path, file = published(net, tmp_path, BANDS, list(CLASSES)), tmp_path / "statistics.json"
    file.write_text(content)
    options = ["--weights", path, "--model", "test_resnet", "--bands", "B02", "--shards", folder]
    result = call(*options, "--weights-bands", "reben-s2-v0.2.0", "--statistics", file)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert "statistics.json" in result.stderr
    # A note on the weights may come first.
    assert result.stderr.splitlines()[-1].startswith("Error: statistics ")


FACTS: list[tuple[dict[str, object], list[str]]] = [
    ({"timm_model_name": "test_resnet", "bands": BANDS, "class_names": list(CLASSES)}, []),
    ({"timm_model_name": "test_resnet", "bands": OLD, "class_names": list(PAPER)}, []),
    ({"config": {"timm_model_name": "test_resnet", "channels": 10}}, ["--weights-bands", "reben-s2-v0.1.1"]),
    ({"architecture": "test_resnet", "bands": ["VV", "VH", *OLD], "id2label": dict(enumerate(PAPER))}, []),
]


@pytest.mark.parametrize(("facts", "said"), FACTS)
def test_a_folder_says_network_bands_and_classes(
    net: torch.nn.Module, folder: Path, tmp_path: Path, facts: dict[str, object], said: list[str]
) -> None:
    """Facts of `config.json` have to be given again, or count as another order."""
    channels = facts.get("bands", OLD)
    classes = PAPER if facts.get("class_names", CLASSES) == list(PAPER) or "id2label" in facts else CLASSES
    assert isinstance(channels, list)
    weights = tmp_path / "weights"
    weights.mkdir()
    state = torch.load(published(net, tmp_path, channels, list(classes)))["state_dict"]
    safetensors.torch.save_file(
        {name: value.contiguous() for name, value in state.items()}, weights / "model.safetensors"
    )
    (weights / "config.json").write_text(json.dumps(facts))
    found = evaluated("--weights", weights, "--shards", folder, *said)
    logits, labels = logits_of(net, folder)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert (found["weights"]["model"], found["weights"]["bands"]) == (
        "test_resnet",
        [name for name in channels if name in BANDS],
    )


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "give --model and --bands"),
        ({"timm_model_name": "test_resnet"}, "give --bands (or --weights-bands, the order of its channels)"),
        ({"bands": BANDS}, "give --model"),
        ({"timm_model_name": "test_resnet", "architecture": "resnet18", "bands": BANDS}, "names two networks"),
        ({"timm_model_name": "no_net", "bands": BANDS}, "no model 'no_net'"),
        ({"timm_model_name": "test_resnet", "bands": BANDS}, "say it with --weights-classes alphabetical"),
        ({"timm_model_name": "test_resnet", "bands": BANDS[1:]}, "look at 10 channels, but 9 are named"),
        ({"timm_model_name": "resnet18", "bands": BANDS, "class_names": list(CLASSES)}, "do not fit resnet18"),
    ],
)
def test_a_folder_that_does_not_say_enough_is_refused(
    net: torch.nn.Module, folder: Path, tmp_path: Path, facts: dict[str, object], message: str
) -> None:
    """The order of bands or classes, or the network, is guessed at."""
    weights = tmp_path / "weights"
    weights.mkdir()
    state = torch.load(published(net, tmp_path, BANDS, list(CLASSES)))["state_dict"]
    safetensors.torch.save_file(state, weights / "model.safetensors")
    (weights / "config.json").write_text(json.dumps(facts))
    result = call("--weights", weights, "--shards", folder)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'RUN', the folder of a run; or --weights FILE."),
        (["run", "--weights", "file"], "RUN and --weights exclude each other."),
    ],
)
def test_what_to_evaluate_is_named_once(arguments: list[str], message: str) -> None:
    """A command without its argument ends with another status than all others, and without its usage."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")
    assert result.stderr.endswith(f"Error: {message}\n")

"""Steps that are recorded as a CUDA graph: which ones are, what a replay reads, and what is refused.

Where there is no GPU, a recorder of the tests takes the place of torch.cuda's: its replay runs the recorded function
again, on the tensors that it was recorded with.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from shards.errors import InvalidValue
from trainer.config import effect
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.data.bands import BAND_SETS
from trainer.data.batch import Batch
from trainer.definition.choices import CUDA_GRAPH, Precision
from trainer.definition.tables import KEYS
from trainer.errors import OutOfMemory, TrainError
from trainer.models.create import Classifier, ModelSpec, create
from trainer.optimisation.losses import bce
from trainer.runtime.out_of_memory import out_of_memory_reported
from trainer.runtime.ranks import Ranks
from trainer.training.cuda_graph import WARM_UP, RecordedStep
from trainer.training.step import Stepper

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
OPTIONS: tuple[dict[str, Any], ...] = (
    {"layer_decay": 0.5},
    {"optimizer": "sgd", "clip": 0.1, "accumulate": 2, "ema": 0.9},
)


class Recorder:
    """Records without a GPU: a replay finds the optimiser as it was when it was recorded."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._groups = optimizer.param_groups
        self.num_warm, self.num_recorded, self.num_replayed = 0, 0, 0

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Count."""
        self.num_warm += 1
        yield

    def record(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        """Keep the function; a replay writes its result to the same tensor."""
        self.num_recorded += 1
        result = torch.full((), torch.nan)
        recorded = [dict(group) for group in self._groups]
        assert all(isinstance(group["lr"], Tensor) and group.get("capturable", True) for group in recorded)

        def replay() -> None:
            self.num_replayed += 1
            now = [dict(group) for group in self._groups]
            for values in (recorded, now):
                for group, kept in zip(self._groups, values, strict=True):
                    group.update(kept)
                if values is recorded:
                    result.copy_(compute())

        return replay, result


def batches(sizes: list[int], device: torch.device = CPU) -> Iterator[Batch]:
    """Yield random batches of native images."""
    generator = torch.Generator().manual_seed(0)
    for n in sizes:
        images = {
            name: torch.randn(n, bands, size, size, generator=generator).to(memory_format=torch.channels_last)
            for name, bands, size in (("b10", 4, 120), ("b20", 6, 60), ("b60", 2, 20))
        }
        label = (torch.rand(n, 19, generator=generator) < 0.3).float()
        batch = {**images, "label": label, "row": torch.arange(n), "mask": torch.ones(n, dtype=torch.bool)}
        yield {name: values.to(device) for name, values in batch.items()}


def create_stepper(device: torch.device = CPU, size: int = 4, **options: Any) -> Stepper:
    """Return a stepper of one of our networks; the smallest, and the same in every call."""
    torch.manual_seed(0)
    model: Classifier = create(ModelSpec(name="bepnet-s", bands=BAND_SETS["all"])).to(device)
    config = TrainConfig.of(shards=Path(), out=Path(), model="bepnet-s", batch_size=size, precision="fp32", **options)
    return Stepper(model, bce, config, Ranks(device))


def recorded(stepper: Stepper, recorder: Recorder) -> RecordedStep:
    """Let a stepper on the CPU record its steps as it would on a GPU."""
    step = RecordedStep(
        lambda batch: stepper._update(batch, stepper._full, stepper._eager),
        stepper._optimizer,
        CPU,
        recorder,  # type: ignore[arg-type]
    )
    stepper._recorded = step
    return step


@pytest.mark.long
@pytest.mark.parametrize("options", OPTIONS)
def test_replays_do_what_steps_do(options: dict[str, Any]) -> None:
    """A replay trains on another batch or at another learning rate, or leaves out the average; or one batch is lost."""
    sizes = [4, 4, 4, 4, 3, 4, 4]
    plain, graphed = create_stepper(**options), create_stepper(**options)
    recorder = Recorder(graphed._optimizer)
    step = recorded(graphed, recorder)
    for number, batch in enumerate(batches(sizes)):
        lr, n = 1e-3 / (1 + number), sizes[number]
        ours, expected = graphed.step(batch, n, lr), plain.step(batch, n, lr)
        # A rate in float32 differs from one in float64.
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)
    # The short batch runs as it is, and is none of the steps of the warm-up.
    assert (recorder.num_warm, recorder.num_recorded, recorder.num_replayed) == (WARM_UP, 1, 3)
    assert step.num_replays == 3
    for name, values in graphed.evaluated().state_dict().items():
        torch.testing.assert_close(values, plain.evaluated().state_dict()[name], rtol=1e-3, atol=1e-5, msg=name)
    for group, other in zip(graphed._optimizer.param_groups, plain._optimizer.param_groups, strict=True):
        assert group.keys() == other.keys()
        assert group.get("capturable") == other.get("capturable")


def test_a_replay_reads_the_same_memory() -> None:
    """A graph reads from memory that has been given to another tensor, or its result is overwritten by the next one."""
    weight, optimizer = recorded_sum()
    seen: list[dict[str, int]] = []

    def compute(batch: Batch) -> Tensor:
        seen.append({name: values.data_ptr() for name, values in batch.items()})
        return (batch["image"].sum() * weight.detach()).squeeze()

    step = RecordedStep(compute, optimizer, CPU, Recorder(optimizer))  # type: ignore[arg-type]
    inputs = [
        {"image": torch.full((2, 3, 4, 4), float(i)).to(memory_format=torch.channels_last), "row": torch.arange(2)}
        for i in range(WARM_UP + 3)
    ]
    losses = [step(batch, 0.1) for batch in inputs]
    assert [loss.item() for loss in losses] == [96.0 * i for i in range(WARM_UP + 3)]
    assert seen[WARM_UP] == seen[WARM_UP + 1] == seen[WARM_UP + 2]
    assert seen[WARM_UP]["image"] not in {batch["image"].data_ptr() for batch in inputs}
    assert seen[0].keys() == {"image"}
    assert step._inputs["image"].is_contiguous(memory_format=torch.channels_last)


def recorded_sum() -> tuple[Tensor, torch.optim.Optimizer]:
    weight = torch.ones(1, requires_grad=True)
    return weight, torch.optim.SGD([weight], 0.1)


def test_what_cannot_be_recorded_says_what_to_do() -> None:
    """A network whose step waits for the device ends a run with a line of CUDA's."""

    class Refuses(Recorder):
        def record(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
            raise RuntimeError("operation not permitted when stream is capturing")

    _, optimizer = recorded_sum()
    step = RecordedStep(lambda batch: torch.zeros(()), optimizer, CPU, Refuses(optimizer))  # type: ignore[arg-type]
    batch = {"image": torch.zeros(1)}
    for _ in range(WARM_UP):
        step(batch, 0.1)
    with pytest.raises(TrainError, match=r"cannot be recorded .*not permitted.* leave `compile=cuda-graph` out"):
        step(batch, 0.1)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_lack_of_memory_is_no_refusal_of_the_network() -> None:
    """A batch that is too large for a graph is blamed on the network."""

    class Full(Recorder):
        def record(self, compute: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
            raise RuntimeError("CUDA error: out of memory")

    _, optimizer = recorded_sum()
    step = RecordedStep(lambda batch: torch.zeros(()), optimizer, CPU, Full(optimizer))  # type: ignore[arg-type]
    batch = {"image": torch.zeros(1)}
    for _ in range(WARM_UP):
        step(batch, 0.1)
    with pytest.raises(OutOfMemory, match="has not enough memory"), out_of_memory_reported(512):
        step(batch, 0.1)


def given(options: dict[str, Any]) -> Given:
    """Return options as given on the command line."""
    return Given({KEYS[name]: "flag" for name in options})


@pytest.mark.parametrize(
    ("options", "ranks", "precision", "message"),
    [
        ({"compile": CUDA_GRAPH}, Ranks(CPU), "fp32", "has no effect: it records CUDA graphs, which need a GPU"),
        ({"compile": "reduce-overhead"}, Ranks(CPU), "fp32", "need a GPU; leave it out"),
        ({"compile": CUDA_GRAPH}, Ranks(GPU, num_ranks=2), "bf16", "with 2 processes"),
        ({"compile": CUDA_GRAPH}, Ranks(GPU), "fp16", "with `precision=fp16`"),
        ({"compile": CUDA_GRAPH, "optimizer": "lamb"}, Ranks(GPU), "bf16", "with `optimizer=lamb`"),
        ({"compile": "reduce-overhead", "accumulate": 2}, Ranks(GPU), "bf16", "next part of `accumulate=2`"),
        ({"compile": "max-autotune", "accumulate": 2}, Ranks(GPU), "bf16", "take `compile=default`"),
    ],
)
def test_what_a_graph_cannot_do_is_refused(
    options: dict[str, Any], ranks: Ranks, precision: Precision, message: str
) -> None:
    """A run fails in its fourth step, waits for ever for another process, or trains on gradients of another part."""
    config = TrainConfig.of(shards=Path(), out=Path(), **options)
    with pytest.raises(InvalidValue, match=message):
        effect.check_device(config, given(options), ranks, precision)


@pytest.mark.parametrize(
    "options",
    [{"compile": CUDA_GRAPH, "accumulate": 2}, {"compile": "reduce-overhead"}, {"compile": "default", "accumulate": 2}],
)
def test_what_works_is_not_refused(options: dict[str, Any]) -> None:
    """An error asks a user to leave out what would have worked."""
    config = TrainConfig.of(shards=Path(), out=Path(), **options)
    effect.check_device(config, given(options), Ranks(GPU), "bf16")


def test_a_short_batch_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last batch of an epoch takes a minute to compile, or makes the code for all others slower."""
    compiled: list[dict[str, Any]] = []
    calls: list[int] = []

    def fake(model: torch.nn.Module, **options: Any) -> Callable[[Batch], Tensor]:
        compiled.append(options)

        def call(batch: Batch) -> Tensor:
            calls.append(len(batch["label"]))
            logits: Tensor = model(batch)
            return logits

        return call

    monkeypatch.setattr(torch, "compile", fake)
    stepper = create_stepper(size=4, compile="default")
    for n, batch in zip([4, 3, 4], batches([4, 3, 4]), strict=True):
        stepper.step(batch, n, 1e-3)
    assert compiled == [{"mode": "default", "dynamic": False}]
    assert calls == [4, 4]


@pytest.mark.gpu
@pytest.mark.parametrize("options", OPTIONS)
def test_a_graph_equals_its_steps(options: dict[str, Any]) -> None:
    """On a GPU a recorded step trains in another way than one that is launched kernel by kernel."""
    sizes = [16] * 8 + [5] + [16] * 3
    plain = create_stepper(GPU, 16, **options)
    graphed = create_stepper(GPU, 16, compile=CUDA_GRAPH, **options)
    assert graphed._recorded is not None
    for number, batch in enumerate(batches(sizes, GPU)):
        lr, n = 1e-3 / (1 + number), sizes[number]
        ours, expected = graphed.step(batch, n, lr), plain.step(batch, n, lr)
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)
    assert graphed._recorded.num_replays == 11 - WARM_UP


@pytest.mark.gpu
def test_a_graph_draws_anew() -> None:
    """Dropout drops the same units in every step of a recorded one, or others than the step's seed says."""
    model = torch.nn.Dropout(0.5)
    weight = torch.ones(1, device=GPU, requires_grad=True)
    step = RecordedStep(lambda batch: model(batch["image"]).sum(), torch.optim.AdamW([weight], fused=True), GPU)
    batch = {"image": torch.ones(1000, device=GPU)}
    sums = []
    for seed in [0, 0, 0, 1, 2, 1]:
        torch.manual_seed(seed)
        sums.append(step(batch, 0.1).item())
    assert sums[3] == sums[5] != sums[4]

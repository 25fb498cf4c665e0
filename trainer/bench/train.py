"""Whether the device is kept busy: steps fed from shards against steps on one batch that is already there."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trainer.bench.environment import describe_environment
from trainer.bench.passes import Rate, take_turns
from trainer.data.batch import Batch
from trainer.training.config import TrainConfig
from trainer.training.memory import out_of_memory_reported
from trainer.training.progress import Silent
from trainer.training.ranks import open_ranks
from trainer.training.run import Run
from trainer.training.setup import open_session
from trainer.training.step import Stepper, resolve

RESIDENT = "resident"
"""Steps on one batch that lies on the device."""
FED = "fed"
"""Steps fed from shards, in the training loop itself."""
LOADER = "loader"
"""The loader without any step."""


class TimedStepper(Stepper):
    """A stepper that knows how long the training thread was in it.

    Attributes:
        seconds: so far. On a GPU this is the time that it took to ask for the work, not the work.
    """

    seconds = 0.0

    def step(self, batch: Batch, num_patches: int, lr: float) -> Tensor:
        """Do a step."""
        start = time.perf_counter()
        loss = super().step(batch, num_patches, lr)
        self.seconds += time.perf_counter() - start
        return loss


@dataclass(frozen=True)
class TrainBench:
    """What was measured.

    Attributes:
        config: model, batch size, precision and the like.
        rates: by pass.
        wait_share: share of the fed steps' time in which the training thread waited for the loader, 0 to 1.
        other_share: share in which it neither waited nor was in a step: what the loop itself costs.
        memory_bytes: most memory of the device that torch had in use; None on a CPU.
        environment: what it was measured on.
    """

    config: dict[str, Any]
    rates: dict[str, Rate]
    wait_share: float
    other_share: float
    memory_bytes: int | None
    environment: dict[str, Any]

    @property
    def saturation(self) -> float:
        """Rate of the fed steps as a share of that of the resident ones."""
        return self.rates[FED].share_of(self.rates[RESIDENT])

    @property
    def advice(self) -> str:
        """What limits the training, in a sentence."""
        headroom = self.rates[LOADER].share_of(self.rates[RESIDENT])
        if headroom >= 1.2:
            return f"the device is the limit: the loader alone is {headroom:.1f} times as fast"
        if headroom >= 1:
            return (
                f"the loader is only {headroom:.2f} times as fast as the device: give it more threads, or --cache, "
                "before the device gets faster"
            )
        return (
            f"the loader is the limit, at {headroom:.0%} of the device's rate: give it more threads, --cache, a store "
            "on a faster disk, or an augmentation that costs less"
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "config": self.config,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "saturation": self.saturation,
            "wait_share": self.wait_share,
            "other_share": self.other_share,
            "memory_bytes": self.memory_bytes,
            "advice": self.advice,
            "environment": self.environment,
        }


def bench_train(
    config: TrainConfig, *, steps: int, repeats: int, warm_up: int, watch: Callable[[str], None]
) -> TrainBench:
    """Measure training steps.

    Args:
        config: of the run; its folder is not written to.
        steps: steps of a pass; fewer if the train split has not as many batches.
        repeats: timed passes.
        warm_up: passes before these.
        watch: is told what is going on.

    Raises:
        ShardError: the store is damaged, or is none.
        TrainError: memory runs out, or the like.
        ValueError: a name or a number is not allowed.
    """
    with ExitStack() as stack:
        stack.enter_context(out_of_memory_reported(config.batch_size, config.accumulate))
        ranks = stack.enter_context(open_ranks(config.device))
        session = stack.enter_context(open_session(config, ranks, Silent()))
        device = ranks.device
        batch_size = min(config.batch_size, len(session.rows["train"]))
        count = min(steps * batch_size, len(session.rows["train"]) // batch_size * batch_size)
        session = replace(session, rows=session.rows | {"train": session.rows["train"][:count]})
        run = stack.enter_context(Run(session, stepper=TimedStepper))
        stepper = run.stepper
        assert isinstance(stepper, TimedStepper)
        loader = stack.enter_context(session.loader("train"))
        resident = {name: values.clone() for name, values in next(iter(loader)).items()}
        waited = stepped = total = 0.0

        def finish() -> int:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return count

        def step_resident(number: int) -> int:
            session.model.train()
            for _ in range(count // batch_size):
                stepper.step(resident, batch_size, config.lr)
            return finish()

        def step_fed(number: int) -> int:
            nonlocal waited, stepped, total
            start, before_wait, before_step = time.perf_counter(), run.loader.wait_seconds, stepper.seconds
            run.train_epoch()
            finish()
            if number >= warm_up:
                total += time.perf_counter() - start
                waited += run.loader.wait_seconds - before_wait
                stepped += stepper.seconds - before_step
            run.next_epoch()
            return count

        def load(number: int) -> int:
            for _ in loader:
                pass
            return finish()

        passes = {RESIDENT: step_resident, FED: step_fed, LOADER: load}
        rates = take_turns(passes, repeats=repeats, warm_up=warm_up, watch=watch)
        return TrainBench(
            config={
                "model": config.model,
                "parameters": sum(parameter.numel() for parameter in session.model.parameters()),
                "batch_size": batch_size,
                "precision": resolve(config.precision, device),
                "compile": config.compile,
                "cache": config.cache,
                "threads": session.store.num_threads,
                "codec": session.store.manifest.codec,
                "steps": count // batch_size,
                "repeats": repeats,
            },
            rates=rates,
            wait_share=waited / total,
            other_share=max(0.0, total - waited - stepped) / total,
            memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            environment=describe_environment(config.data, device),
        )

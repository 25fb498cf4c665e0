"""A measurement of how busy the device is: steps fed from shards against steps on one batch already on it."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch.profiler import ProfilerActivity, profile

from bigearth_pipeline.bench.environment import describe_environment
from bigearth_pipeline.bench.loader.cold import RecordPages, measure_cold
from bigearth_pipeline.bench.loader.forecast import Memory
from bigearth_pipeline.bench.passes import LEAST_SECONDS, Lap, take_turns
from bigearth_pipeline.bench.train.passes import StepPasses
from bigearth_pipeline.bench.train.result import COLD, LOADER, TrainBench
from bigearth_pipeline.bench.train.timed_stepper import TimedStepper
from shards.errors import InvalidValue
from shards.runtime.scratch import ScratchFolder
from shards.storage.atomic import atomic_write
from trainer.config import effect
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.runtime.out_of_memory import out_of_memory_reported
from trainer.runtime.precision import resolve
from trainer.runtime.progress import Silent
from trainer.runtime.ranks import open_ranks
from trainer.training.loop import Run
from trainer.training.session import open_session

STEPS: Final = 30
"""Steps of a lap if no number is given."""


def bench_train(
    config: TrainConfig,
    *,
    steps: int | None,
    repeats: int,
    warm_up: int,
    least_seconds: float = LEAST_SECONDS,
    say: Callable[[str], None],
    trace: Path | None = None,
) -> TrainBench:
    """Measure training steps.

    Args:
        config: of the run; its folder is not written to.
        steps: steps of a lap; None for 30, or as many as the train split has whole batches.
        repeats: timed passes.
        warm_up: passes before these, of one lap each.
        least_seconds: timed seconds until which a pass repeats its lap.
        say: receives what is measured now.
        trace: where to write a trace of one more pass of fed steps, for chrome://tracing or Perfetto; None for none.

    Raises:
        ShardError: the store is damaged, or is none.
        TrainError: memory runs out, or the like.
        ValueError: a name or a number is not allowed.
    """
    with ExitStack() as stack:
        stack.enter_context(out_of_memory_reported(config.optimisation.batch_size, config.optimisation.accumulate))
        ranks = stack.enter_context(open_ranks(config.machine.device))
        device = ranks.device
        memory = Memory.now(device)
        # Its command has flags of these names.
        given = Given(dict.fromkeys(Given.by(config).ways, "flag"))
        effect.check(config, given)
        # Nothing is evaluated, so that no split but that for training takes memory.
        config = config.replace(validation=False)
        session = stack.enter_context(open_session(config, ranks, Silent(), given=given))
        batch_size = min(config.optimisation.batch_size, len(session.rows["train"]))
        most = len(session.rows["train"]) // batch_size
        if steps is not None and steps > most:
            raise InvalidValue(f"`steps={steps}`: the train split has {most} whole batches of {batch_size}; give fewer")
        count = min(STEPS if steps is None else steps, most) * batch_size
        session = replace(session, rows=session.rows | {"train": session.rows["train"][:count]})
        run = stack.enter_context(Run(session, stepper=TimedStepper, writes=False))
        stepper = run.stepper
        assert isinstance(stepper, TimedStepper)
        laps = StepPasses(run, stepper, batch_size=batch_size, lr=config.optimisation.lr)
        rates = take_turns(laps.passes, repeats=repeats, warm_up=warm_up, least_seconds=least_seconds, say=say)
        missing = {}
        if run.loader.config.cache == "none":
            pages = RecordPages.of(session.store, session.rows["train"])
            found = measure_cold({COLD: laps.passes[LOADER]}, pages, repeats, say, least_seconds)
            if isinstance(found, str):
                missing[COLD] = found
            else:
                rates |= found
        if trace is not None:
            say("trace")
            _write_trace(trace, lambda: laps.fed(Lap(is_timed=False)), device)
        return TrainBench(
            config={
                "model": config.model.model,
                "parameters": sum(parameter.numel() for parameter in session.model.parameters()),
                "batch_size": batch_size,
                "precision": resolve(config.machine.precision, device),
                "compile": config.machine.compile,
                "cache": run.loader.config.cache,
                "threads": session.store.num_threads,
                "codec": session.store.manifest.codec,
                "steps": count // batch_size,
                "repeats": repeats,
                "least_seconds": least_seconds,
            },
            rates=rates,
            missing=missing,
            wait_share=laps.spent.waited / laps.spent.total,
            other_share=max(0.0, laps.spent.total - laps.spent.waited - laps.spent.stepped) / laps.spent.total,
            idle_share=laps.spent.idle / laps.spent.marked if laps.spent.marked else None,
            host_cores=laps.spent.processor / laps.spent.total,
            memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            bytes_per_patch=session.store.encoded_bytes(session.rows["train"]) / count,
            memory=memory,
            environment=describe_environment({"store": config.data.shards}, device),
        )


def _write_trace(path: Path, run: Callable[[], object], device: torch.device) -> None:
    # Kineto tells stderr of everything that it does.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        run()
    # Not to `path`: Kineto says nothing of a full disk. It gives a file its name when all of it is there.
    with ScratchFolder("trace") as folder:
        whole = folder / "trace.json"
        profiler.export_chrome_trace(str(whole))
        if not whole.exists():
            raise TrainError(f"a trace cannot be written to {folder}: is there room on its disk?")
        with open(whole, "rb") as source, atomic_write(path) as file:
            shutil.copyfileobj(source, file)

"""The figures of `bep bench train`, and the limit and the advice that follow from them."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from bigearth_pipeline.bench.loader.forecast import Epoch, Memory, Sources, predict
from bigearth_pipeline.bench.rate import Rate
from shards.text.words import percentage

RESIDENT: Final = "resident"
"""Steps on one batch that lies on the device."""
FED: Final = "fed"
"""Steps fed from shards, in the training loop itself."""
LOADER: Final = "loader"
"""The loader without any step."""
COLD: Final = "cold_loader"
"""The loader without any step, behind an empty page cache; only where no records are kept."""

SATURATED: Final = 0.95
"""Saturation from which on the device counts as the limit."""
_ENOUGH: Final = 1.2
"""Ratio of the loader's rate to the device's from which on the loader has something to spare."""


@dataclass(frozen=True)
class TrainBench:
    """Results of a measurement of training steps.

    Attributes:
        config: model, batch size, precision and the like.
        rates: by pass.
        missing: why a pass has no rate, by pass.
        wait_share: share of the fed steps' time in which the training thread waited for the loader, 0 to 1.
        other_share: share in which it neither waited nor was in a step: what the loop itself costs.
        idle_share: share of the fed steps' time in which a GPU had no step to work on, by CUDA events; None on a CPU.
        host_cores: processor time of this process, all threads, by the time of the fed steps.
        memory_bytes: most memory of the device that torch had in use; None on a CPU.
        bytes_per_patch: of a stored record.
        memory: what was free before.
        environment: what it was measured on.
    """

    config: dict[str, Any]
    rates: dict[str, Rate]
    missing: dict[str, str]
    wait_share: float
    other_share: float
    idle_share: float | None
    host_cores: float
    memory_bytes: int | None
    bytes_per_patch: float
    memory: Memory
    environment: dict[str, Any]

    @property
    def saturation(self) -> float:
        """Rate of the fed steps as a share of that of the resident ones."""
        return self.rates[FED].share_of(self.rates[RESIDENT])

    @property
    def headroom(self) -> float:
        """Rate of the loader alone as a multiple of that of the resident steps."""
        return self.rates[LOADER].share_of(self.rates[RESIDENT])

    @property
    def limit(self) -> Literal["device", "loader", "host"]:
        """The part that limits the rate of the fed steps.

        It is `host` if the loader alone keeps up with the device, but not while steps are being launched.
        """
        if self.saturation >= SATURATED:
            return "device"
        return "loader" if self.headroom < 1 else "host"

    @property
    def advice(self) -> str:
        """The limit and what to change, in a sentence."""
        times = f"the loader alone is {self.headroom:{'.0f' if self.headroom >= 10 else '.2g'}} times as fast"
        match self.limit:
            case "device" if self.headroom >= _ENOUGH:
                return f"the device is the limit: {times}"
            case "device":
                return f"the device is the limit, but {times} only: a faster one needs more `threads=`, or `cache=`"
            case "loader":
                return (
                    f"the loader is the limit, at {percentage(self.headroom)} of the device's rate: give it more "
                    "`threads=`, `cache=`, a faster disk, or a cheaper `augment=`; `bep bench loader` shows its stages"
                )
        if self.memory_bytes is None or self.wait_share >= (1 - self.saturation) / 2:
            return (
                f"the processor is the limit: {times}, but it and the steps take cores from each other; use more of "
                "them, or a `cache=` that spares the loader work"
            )
        return (
            f"the training thread is the limit: {times}, but it takes the thread too long to ask for a step; try "
            "`compile=cuda-graph` or reduce-overhead, or a larger `batch_size=`"
        )

    @property
    def epochs(self) -> list[Epoch]:
        """Predictions for epochs of whole datasets."""
        tier = self.config["cache"]
        sources: Sources = (
            {"disk": {"steps": (FED,)}, "disk, cold": {"steps": (COLD, FED)}}
            if tier == "none"
            else {tier: {"steps": (FED,)}}
        )
        return predict(sources, self.rates, self.missing, self.bytes_per_patch, self.memory)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "config": self.config,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "missing": self.missing,
            "saturation": self.saturation,
            "wait_share": self.wait_share,
            "other_share": self.other_share,
            "idle_share": self.idle_share,
            "host_cores": self.host_cores,
            "memory_bytes": self.memory_bytes,
            "limit": self.limit,
            "advice": self.advice,
            "memory": asdict(self.memory),
            "epochs": [epoch.to_json() for epoch in self.epochs],
            "environment": self.environment,
        }

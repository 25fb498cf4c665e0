"""The choice of a backend that makes the images of batches: DALI, numba, Triton or torch."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from shards.errors import InvalidValue
from trainer.data.batch import HostBatch, Layout
from trainer.data.device.prepared import Prepared
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.gpu_arguments import blends_boxes
from trainer.data.prepare.leads import leads
from trainer.data.prepare.reference import TorchPreparation
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import BACKENDS, Backend, Interpolation
from trainer.errors import TrainError

if TYPE_CHECKING:
    from trainer.data.prepare.triton.preparation import TritonPreparation


class Preparation(Protocol):
    """Makes device batches of host batches."""

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches in their order, without waiting for the device.

        Once the generator is at its end, closed or broken by an error, the device reads none of the host batches that
        have not come out.
        """


@dataclass(frozen=True, kw_only=True)
class Images:
    """Specification of the images of a batch.

    Attributes:
        normalisation: of the selected bands, in channel order.
        batch_size: the most patches of a batch.
        device: where they are to be.
        num_threads: threads that prepare, where the host does.
        layout: `stacked` or `native`.
        interpolation: how bands are brought to another size.
        augmentation: what the draws of the batches are of.
    """

    normalisation: Normalisation
    batch_size: int
    device: torch.device
    num_threads: int
    layout: Layout
    interpolation: Interpolation
    augmentation: Augmentation

    def by(self, backend: Backend) -> Preparation:
        """Return what makes them.

        Raises:
            TrainError: the backend is not installed, or cannot do it.
            ValueError: there is none of that name.
        """
        backend = self.resolve(backend)
        if backend == "numba":
            return self._by_numba()
        if backend == "triton":
            return self.by_triton()
        return self.by_torch() if backend == "torch" else self._by_dali()

    def resolve(self, backend: Backend) -> Backend:
        """Return what makes them: what was asked for, or what `auto` stands for.

        `auto` is numba where it can, Triton on a GPU on which it was measured to be ahead, else DALI where it is
        installed with what it needs, else torch.

        Raises:
            TrainError: the backend is not installed, or cannot do it.
            ValueError: there is none of that name.
        """
        if backend not in BACKENDS:
            raise InvalidValue(f"no backend {backend!r}; there are {', '.join(BACKENDS)}")
        if backend != "auto":
            _check(backend, self.device, self.interpolation, self.augmentation)
            return backend
        if can_prepare("numba", self.device, self.interpolation):
            return "numba"
        if leads(self.device) and triton_is_there(self.device):
            return "triton"
        return "dali" if can_prepare("dali", self.device, self.interpolation, self.augmentation) else "torch"

    def resolve_on_device(self, backend: Backend) -> Backend:
        """Return the backend for records that are on the device: Triton, or torch where that is requested or needed.

        Raises:
            TrainError: Triton is requested and cannot do it, or the backend takes no such records.
        """
        if backend == "auto":
            return "triton" if triton_is_there(self.device) else "torch"
        if self.resolve(backend) not in ("torch", "triton"):
            raise TrainError(
                f"`cache=gpu` prepares batches by Triton or torch, not by {backend}; "
                "take `cache=ram`, or `loader=triton`"
            )
        return backend

    def by_triton(self) -> "TritonPreparation":
        """Return what makes them with Triton's kernels.

        Raises:
            TrainError: the device is no GPU, or Triton is not installed.
        """
        _check_triton(self.device)
        from trainer.data.prepare.triton.preparation import TritonPreparation

        return TritonPreparation(device=self.device, interpolation=self.interpolation, **self._common())

    def by_torch(self) -> TorchPreparation:
        """Return what makes them with plain torch."""
        return TorchPreparation(device=self.device, interpolation=self.interpolation, **self._common())

    def _by_numba(self) -> Preparation:
        from trainer.data.prepare.numba import FusedPreparation

        return FusedPreparation(**self._common())

    def _by_dali(self) -> Preparation:
        from trainer.data.prepare.dali.pipeline import DaliPreparation

        return DaliPreparation(device=self.device, interpolation=self.interpolation, **self._common())

    def _common(self) -> dict[str, Any]:
        return {
            "normalisation": self.normalisation,
            "batch_size": self.batch_size,
            "num_threads": self.num_threads,
            "layout": self.layout,
            "augmentation": self.augmentation,
        }


def can_prepare(
    backend: Backend,
    device: torch.device,
    interpolation: Interpolation,
    augmentation: Augmentation = RECIPES["none"],
) -> bool:
    """Return whether a backend is installed, and prepares batches for a device in this way."""
    try:
        _check(backend, device, interpolation, augmentation)
    except TrainError:
        return False
    return True


def triton_is_there(device: torch.device) -> bool:
    """Return whether Triton can make images on a device: a GPU, where it is installed."""
    return can_prepare("triton", device, "nearest")


def _check(backend: Backend, device: torch.device, interpolation: Interpolation, augmentation: Augmentation) -> None:
    if backend == "numba" and (device.type != "cpu" or interpolation != "nearest"):
        raise TrainError(
            f"loader numba is for the CPU and nearest pixels, not for {device} and {interpolation} ones; "
            "use `loader=auto`"
        )
    if backend == "triton":
        _check_triton(device)
    if backend == "dali":
        try:
            import trainer.data.prepare.dali.pipeline  # noqa: F401
        except ImportError as err:
            raise TrainError(f"DALI is not installed ({err}); install it, or use `loader=torch`") from err
        if device.type == "cuda" and blends_boxes(augmentation, interpolation) and not triton_is_there(device):
            raise TrainError(
                "loader dali enlarges crops with bilinear pixels by Triton on a GPU, and Triton is not installed; "
                "install it, or use `interpolation=nearest` or `loader=torch`"
            )


def _check_triton(device: torch.device) -> None:
    if device.type != "cuda":
        raise TrainError(f"loader triton is for a GPU, not for {device}; use `loader=auto`")
    try:
        import trainer.data.prepare.triton.preparation  # noqa: F401
    except ImportError as err:
        raise TrainError(f"Triton is not installed ({err}); install it, or use `loader=dali` or torch") from err

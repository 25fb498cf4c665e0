"""Work that a GPU would have to do, counted without one: launches, and bytes read from and written to its memory.

Each operator is taken to read each byte of its inputs once, also where two of them are views of the same memory, and to
write each byte of its outputs once, as if nothing stayed in a cache between two of them and no sector of memory was
written in parts.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline
from nvidia.dali.types import DALIDataType
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Cost:
    """Cost of a batch.

    Attributes:
        launches: kernels, and copies to the device.
        bus_bytes: that come from host memory.
        device_bytes: that are read from and written to device memory, those from host memory included.
    """

    launches: int = 0
    bus_bytes: float = 0.0
    device_bytes: float = 0.0

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(
            self.launches - other.launches,
            self.bus_bytes - other.bus_bytes,
            self.device_bytes - other.device_bytes,
        )

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.launches + other.launches,
            self.bus_bytes + other.bus_bytes,
            self.device_bytes + other.device_bytes,
        )


def copied(num_bytes: float) -> Cost:
    """Return the cost of one copy to the device."""
    return Cost(1, num_bytes, num_bytes)


class TorchCost(TorchDispatchMode):
    """Counts what torch does on a device: one launch for each operator that is no view.

    The device is a GPU that is not there, so that `torch.device("cuda")` works within it, with tensors that have no
    values; or the CPU in its place, with ordinary tensors, which autograd can go back through.

    Attributes:
        cost: of what was done so far.
    """

    def __init__(self, device_type: Literal["cuda", "cpu"] = "cuda") -> None:
        super().__init__()
        self.cost = Cost()
        self._type = device_type
        self._fake = FakeTensorMode() if device_type == "cuda" else nullcontext()

    def __enter__(self) -> "TorchCost":
        self._fake.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._fake.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Execute the requested operation, and count it."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._pin_memory.default:
            return args[0]  # Fake tensors lie in no memory.
        result = func(*args, **kwargs)
        outputs = [value for value in _flat(result) if value.device.type == self._type]
        if not outputs or func.is_view or func.overloadpacket in _ALLOCATIONS:
            return result
        # A copy does not read what it writes to, as other operators in place do.
        read = args[1:] if func.overloadpacket is torch.ops.aten.copy_ else args
        inputs = _flat((read, {name: value for name, value in kwargs.items() if name != "out"}))
        written = sum(map(_num_bytes, outputs))
        hosts = [value for value in inputs if value.device.type != self._type and value.ndim]
        if hosts:
            self.cost += copied(written)
        else:
            self.cost += Cost(
                1, 0, _num_bytes_of(value for value in inputs if value.device.type == self._type) + written
            )
        return result


_ALLOCATIONS: Final = (torch.ops.aten.empty, torch.ops.aten.empty_like, torch.ops.aten.detach)


def _flat(value: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for part in value for tensor in _flat(part)] if isinstance(value, list | tuple) else []


def _num_bytes(tensor: Tensor) -> int:
    """Return how much memory a tensor shows; what is repeated counts once."""
    shown = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return int(np.prod(shown)) * tensor.element_size() if tensor.numel() else 0


def _num_bytes_of(tensors: Iterable[Tensor]) -> int:
    """Return how much memory tensors show together; where views of one memory overlap, it counts once."""
    views: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel():
            views.setdefault(tensor.untyped_storage()._cdata, []).append(tensor)
    return sum(_union(shown) if len(shown) > 1 else _num_bytes(shown[0]) for shown in views.values())


def _union(views: list[Tensor]) -> int:
    """Return how many bytes some views of one memory show."""
    seen = np.zeros(views[0].untyped_storage().nbytes(), np.bool_)
    for view in views:
        size = view.element_size()
        first = seen[view.storage_offset() * size :]
        strides = (*(step * size for step in view.stride()), 1)
        np.lib.stride_tricks.as_strided(first, (*view.shape, size), strides)[...] = True
    return int(seen.sum())


@dataclass(frozen=True)
class Operator:
    """An operator of a DALI graph, with what it was seen to take and to return for a batch.

    Attributes:
        schema: its name.
        options: as it was given them.
        inputs: shapes of the input's patches, and bytes of a value.
        outputs: likewise.
    """

    schema: str
    options: Mapping[str, Any]
    inputs: "Batch"
    outputs: "Batch"

    @property
    def cost(self) -> Cost:
        """Cost of the operator on a GPU.

        Raises:
            KeyError: it is not known how it works there.
        """
        return _OPERATORS[self.schema](self)


@dataclass(frozen=True)
class Batch:
    """Shapes of the tensors of a batch, and bytes of a value."""

    shapes: tuple[tuple[int, ...], ...] = ()
    value_bytes: int = 0

    @property
    def num_bytes(self) -> int:
        """Of all of them."""
        return sum(int(np.prod(shape)) for shape in self.shapes) * self.value_bytes


def run_graph(
    define: Callable[[Any, dict[str, Any]], Any], feeds: dict[str, NDArray]
) -> tuple[list[Operator], list[Batch]]:
    """Run a DALI graph on the CPU.

    Args:
        define: defines the operators on records and on arguments by name.
        feeds: the records, then the arguments by name.

    Returns:
        The operators, each after those that it takes its inputs from, and what the graph returns.
    """
    num = len(next(iter(feeds.values())))
    pipe = Pipeline(batch_size=num, num_threads=2, device_id=None, exec_dynamic=True)
    with pipe:
        records, *fed = fn.external_source(
            source=lambda: tuple(feeds.values()),
            num_outputs=len(feeds),
            batch=True,
            dtype=[_DALI_TYPES[array.dtype.str[1:]] for array in feeds.values()],
            ndim=[array.ndim - 1 for array in feeds.values()],
        )
        returned = define(records, dict(zip(list(feeds)[1:], fed, strict=True)))
        instances = _instances(returned)
        nodes = [node for instance in instances for node in instance.outputs]
        pipe.set_outputs(*nodes)
    pipe.build()
    seen = {node.name: _batch(found) for node, found in zip(nodes, pipe.run(), strict=True)}
    operators = [
        Operator(
            type(instance._op).__name__,
            dict(getattr(instance._op, "_init_args", {})),
            seen[instance.inputs[0].name] if instance.inputs else Batch(),
            seen[instance.outputs[0].name],
        )
        for instance in instances
    ]
    return operators, [seen[node.name] for node in returned]


def schemas_of(pipe: Pipeline) -> list[str]:
    """Return the names of the operators of a built pipeline, but for those that feed it."""
    return sorted(name for op in pipe._ops if (name := type(op._op).__name__) != "ExternalSource")


def _instances(nodes: Iterable[Any]) -> list[Any]:
    """Return the operators that nodes come from, and those that these need, each once."""
    found: dict[int, Any] = {}
    for node in nodes:
        if node.source is not None and node.source.id not in found:
            found |= {one.id: one for one in _instances(node.source.inputs)}
            found[node.source.id] = node.source
    return list(found.values())


def _batch(tensors: Any) -> Batch:
    arrays = [np.asarray(tensor) for tensor in tensors]
    return Batch(tuple(array.shape for array in arrays), arrays[0].itemsize)


_DALI_TYPES: Final = {"u2": DALIDataType.UINT16, "i4": DALIDataType.INT32, "f4": DALIDataType.FLOAT}


def _free(operator: Operator) -> Cost:
    """Return the cost of an operator that passes memory on under another name."""
    return Cost()


def _picks(operator: Operator) -> Cost:
    """Return the cost of a warp with nearest pixels, or of a slice: each value that is written is read somewhere.

    Either copies two tables of descriptions to the device and launches one kernel: `WarpGPU::Run` and
    `WarpParamProvider::ParamsGPU`, `SliceGPU::Run` in DALI's headers, kernels/imgproc/warp_gpu.cuh,
    operators/image/remap/warp_param_provider.h and kernels/slice/slice_gpu.cuh.
    """
    read = min(operator.inputs.num_bytes, operator.outputs.num_bytes)
    return Cost(3, 0, read + operator.outputs.num_bytes)


def _resizes(operator: Operator) -> Cost:
    """Return the cost of a resize: two passes over each minibatch of bands, with float32 between them.

    Each minibatch copies two tables and launches two kernels, `SeparableResamplingGPUImpl::Run` in DALI's
    kernels/imgproc/resample/separable_impl.h; the first pass goes along the axis that leaves less to the second.
    """
    bands = sum(shape[0] for shape in operator.inputs.shapes)
    minibatch = operator.options.get("minibatch_size", 32)
    side = operator.outputs.shapes[0][-1]
    between = sum(shape[0] * min(shape[1:]) * side for shape in operator.inputs.shapes) * 4
    return Cost(4 * -(-bands // minibatch), 0, operator.inputs.num_bytes + 2 * between + operator.outputs.num_bytes)


def _flips(operator: Operator) -> Cost:
    """Return the cost of a flip: one kernel for each patch, `Flip<GPUBackend>::RunImpl` in DALI."""
    return Cost(len(operator.inputs.shapes), 0, operator.inputs.num_bytes + operator.outputs.num_bytes)


_OPERATORS: Final[dict[str, Callable[[Operator], Cost]]] = {
    # In host memory; the copy of the records is counted by itself.
    "ExternalSource": _free,
    "Reinterpret": _free,
    "Reshape": _free,
    "Squeeze": _free,
    "Slice": _picks,
    "WarpAffine": _picks,
    "Resize": _resizes,
    "Flip": _flips,
}

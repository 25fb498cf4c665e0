"""A GPU without a driver: tensors that have shapes, types, strides and a device, but no values.

torch's `FakeTensorMode` runs every operator on such tensors. It refuses to mix devices, and cannot give a value, which
is what a program would wait for.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import combinations, product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer.data import loader as loaders
from trainer.data.batch import Batch
from trainer.data.buffers import Buffers
from trainer.data.loader import Loader

DEVICE = torch.device("cuda", 0)
_ATEN = torch.ops.aten
_SHAPED_BY_VALUES = {_ATEN.nonzero.default, _ATEN.masked_select.default, _ATEN._unique2.default}


class WaitsError(Exception):
    """The host would wait for the device."""


class Waits(TorchDispatchMode):
    """Sees every operator, and raises where the host would wait for the device in a place where it must not.

    Attributes:
        forbidden: whether it must not now.
        count: how often it would have so far, where it may.
        whole: the next whole number that is made up where the program asks for one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forbidden, self.count, self.whole = False, 0, 0

    @contextmanager
    def none(self) -> Iterator[None]:
        """Forbid waiting in the block."""
        before, self.forbidden = self.forbidden, True
        try:
            yield
        finally:
            self.forbidden = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator; where a value is requested, make one up."""
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_gpu = any(tensor.is_cuda for tensor in inputs)
        if on_gpu and func is _ATEN._local_scalar_dense.default:
            self._wait(func)
            return self._make_up(inputs[0].dtype)
        if on_gpu and func is _ATEN.nonzero.default:
            self._wait(func)
            return torch.empty((len(inputs[0]), inputs[0].ndim), dtype=torch.int64, device=inputs[0].device)
        is_mask = func in (_ATEN.index.Tensor, _ATEN.index_put_.default) and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if on_gpu and is_mask:
            self._wait(func)
            return args[0].clone()
        if on_gpu and func in _SHAPED_BY_VALUES:
            raise NotImplementedError(f"{func} has a shape that depends on values")
        if func in (_ATEN._fused_sgd_.default, _ATEN._fused_sgd_.tensor_lr):
            # torch has no fake of it; it changes its arguments in place.
            assert {tensor.device for tensor in inputs} == {DEVICE}
            return None
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if func in (_ATEN._to_copy.default, _ATEN.copy_.default) and outputs and inputs:
            source = inputs[-1]
            # A copy to the device waits where its source is not page-locked, too, which fakes do not know.
            waits = source.is_cuda or self.forbidden or not _is_asynchronous(func, args, kwargs)
            if source.is_cuda != outputs[0].is_cuda and waits:
                self._wait(func)
        return result

    def _make_up(self, dtype: torch.dtype) -> bool | float:
        if dtype is torch.bool:
            return True
        if dtype.is_floating_point:
            return 0.5
        # Small, as it may be an index.
        found, self.whole = self.whole, min(self.whole + 1, 3)
        return found

    def _wait(self, func: Any) -> None:
        if self.forbidden:
            raise WaitsError(f"{func} waits for the device")
        self.count += 1


def _is_asynchronous(func: Any, args: Any, kwargs: Any) -> bool:
    """Return whether a copy was asked not to wait."""
    given = args[2] if func is _ATEN.copy_.default and len(args) > 2 else kwargs.get("non_blocking", False)
    return bool(given)


class Nothing:
    """A stream or an event of a GPU that is not there."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: True


@torch.no_grad()
def backward(loss: Tensor) -> None:
    """Compute gradients node by node, which is what torch's engine does: that one asks the driver for streams first."""
    assert loss.grad_fn is not None
    uses, stack = Counter[Any](), [loss.grad_fn]
    seen = set(stack)
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is not None:
                uses[node] += 1
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
    gradients: dict[Any, dict[int, Tensor]] = {loss.grad_fn: {0: torch.ones_like(loss)}}
    stack = [loss.grad_fn]
    while stack:
        node = stack.pop()
        given = gradients.pop(node, {})
        if hasattr(node, "variable"):
            leaf, gradient = node.variable, given[0]
            assert (gradient.shape, gradient.dtype, gradient.device) == (leaf.shape, leaf.dtype, leaf.device)
            leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
            continue
        results = node(*(given.get(i) for i in range(len(node._input_metadata)))) if given else None
        results = results if isinstance(results, tuple) else (results,) * len(node.next_functions)
        for (after, place), gradient in zip(node.next_functions, results, strict=True):
            if after is None:
                continue
            if gradient is not None:
                wanted = after._input_metadata[place]
                gradient = gradient.sum_to_size(wanted.shape).to(wanted.dtype)
                assert gradient.device == wanted.device
                sums = gradients.setdefault(after, {})
                sums[place] = sums[place] + gradient if place in sums else gradient
            uses[after] -= 1
            if not uses[after]:
                stack.append(after)


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waits]:
    """Let torch make tensors on a GPU that is not there, and loaders make their batches in this thread."""
    waits = Waits()

    def batches(self: Loader) -> Iterator[Batch]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        before = waits.count
        for prepared in self._preparation.run(self.reader.batches(epoch, 0)):
            # Copies to the device may be asked for, but not waited for.
            if waits.count > before:
                raise WaitsError("the preparation waits for the device")
            with waits.none():
                yield prepared.batch

    monkeypatch.setattr(Loader, "__iter__", batches)
    monkeypatch.setattr(loaders, "Buffers", lambda shape, dtype, pin: Buffers(shape, dtype))
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "Stream", Nothing)
    monkeypatch.setattr(torch.cuda, "Event", Nothing)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Nothing)
    # Without a GPU, torch would leave out autocast and the scaling of losses.
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(Tensor, "backward", backward)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with FakeTensorMode(allow_non_fake_inputs=True), waits:
        yield waits


def move(model: nn.Module) -> None:
    """Move a model to the fake device, in place, with its memory layout. `Module.to` cannot swap fakes."""
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, values in tensors.items():
                if values is None:
                    continue
                there: Tensor = torch.empty_strided(
                    values.shape, values.stride(), dtype=values.dtype, device=DEVICE, requires_grad=False
                )
                tensors[name] = nn.Parameter(there) if isinstance(values, nn.Parameter) else there


def pairwise(factors: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return cases in which every two values of two factors meet at least once, few of them, always the same."""
    names = list(factors)
    open_pairs = [((a, x), (b, y)) for a, b in combinations(names, 2) for x in factors[a] for y in factors[b]]
    cases = []
    while open_pairs:
        case = dict(open_pairs[0])
        for name in names:
            if name not in case:
                case[name] = max(
                    factors[name], key=lambda value: sum(_meets(pair, case | {name: value}) for pair in open_pairs)
                )
        open_pairs = [pair for pair in open_pairs if not _meets(pair, case)]
        cases.append({name: case[name] for name in names})
    return cases


def whole_product(main: dict[str, tuple[Any, ...]], further: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return all cases of the main factors, each with a value of every further one; always the same."""
    chosen = random.Random(0)
    return [
        dict(zip(main, values, strict=True)) | {name: chosen.choice(choices) for name, choices in further.items()}
        for values in product(*main.values())
    ]


def _meets(pair: Any, case: dict[str, Any]) -> bool:
    return all(name in case and case[name] == value for name, value in pair)

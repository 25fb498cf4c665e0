"""Triton's kernels on the CPU: the same functions, run by Triton's interpreter instead of its compiler."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import triton.language as tl
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction


@contextmanager
def interpreted(*modules: ModuleType) -> Iterator[None]:
    """Let the interpreter run the kernels of modules.

    The environment variable TRITON_INTERPRET would do so only if it were set before Triton is imported, for all kernels
    of the process and of those that it starts: on a machine with a GPU nothing could be compiled.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            for name, value in list(vars(module).items()):
                if isinstance(value, JITFunction):
                    patch.setattr(module, name, _Interpreted(value.fn))
        for name in ("cumsum", "sum"):
            patch.setattr(tl, name, _adding(name))
        yield


class _Interpreted(InterpretedFunction[Any]):
    """A kernel, or a function that kernels call: `tl` is what the interpreter needs already while they do."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.rewrite()(*args, **kwargs)


def _adding(name: str) -> Any:
    """Return `tl.cumsum` or `tl.sum`, which Triton defines as kernels: not to be called from Python."""

    def add(values: Any, axis: int) -> Any:
        # The interpreter puts its own `associative_scan` and `reduce` into `tl` while it runs a kernel.
        return (tl.associative_scan if name == "cumsum" else tl.reduce)(values, axis, tl.standard._sum_combine)

    return add

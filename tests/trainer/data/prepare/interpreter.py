"""Triton's kernels on the CPU: the same functions, run by Triton's interpreter instead of its compiler."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

import pytest
import triton.language as tl
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from trainer.data.prepare.triton import images
from trainer.data.prepare.triton.images import ImageKernel

TILE: Final = 4096
"""Pixels of one program."""


@contextmanager
def interpreted(*modules: ModuleType) -> Iterator[None]:
    """Let the interpreter run the kernels of modules.

    The environment variable TRITON_INTERPRET would do so only if it were set before Triton is imported, for all kernels
    of the process and of those that it starts: on a machine with a GPU nothing could be compiled.
    """
    with pytest.MonkeyPatch.context() as patch, _language_restored():
        for module in modules:
            for name, value in list(vars(module).items()):
                if isinstance(value, JITFunction):
                    patch.setattr(module, name, _Interpreted(value.fn))
        for name in ("cumsum", "sum"):
            patch.setattr(tl, name, _adding(name))
        yield


@contextmanager
def images_interpreted(*users: ModuleType) -> Iterator[None]:
    """Let the interpreter run the kernel of images that modules create, by large tiles.

    It takes as long for a small tile as for a large one.
    """
    with interpreted(images), pytest.MonkeyPatch.context() as patch:
        for user in users:
            patch.setattr(user, "ImageKernel", partial(ImageKernel, tile=TILE))
        yield


@contextmanager
def _language_restored() -> Iterator[None]:
    """Take back what the interpreter puts into Triton's language: before 3.5 it leaves that there."""
    owners: tuple[Any, ...] = (tl, tl.core, tl.math, tl.tensor, tl.dtype)
    before = [dict(vars(owner)) for owner in owners]
    try:
        yield
    finally:
        for owner, names in zip(owners, before, strict=True):
            for name, value in list(vars(owner).items()):
                if name not in names:
                    delattr(owner, name)
                elif value is not names[name]:
                    setattr(owner, name, names[name])


class _Interpreted(InterpretedFunction):
    """A kernel, or a function that kernels call: `tl` is what the interpreter needs already while they do."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.rewrite()(*args, **kwargs)


def _adding(name: str) -> Any:
    """Return `tl.cumsum` or `tl.sum`, which Triton defines as kernels: not to be called from Python."""

    def add(values: Any, axis: int) -> Any:
        # The interpreter puts its own `associative_scan` and `reduce` into `tl` while it runs a kernel.
        return (tl.associative_scan if name == "cumsum" else tl.reduce)(values, axis, tl.standard._sum_combine)

    return add

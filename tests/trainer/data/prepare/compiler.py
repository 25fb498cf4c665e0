"""Triton's kernels compiled for a GPU that need not be there, as the product launches them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

H100: Final = GPUTarget("cuda", 90, 32)
"""Also the H200's instruction set."""
_TYPES: Final = {
    torch.uint8: "u8",
    torch.uint16: "u16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
}
_OPTIONS: Final = ("num_warps", "num_stages", "enable_fp_fusion")


@contextmanager
def launches_compiled(*modules: ModuleType) -> Iterator[list[tuple[str, str]]]:
    """Compile what is launched, and run nothing; collect the name and the PTX of each kernel."""
    found: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            for value in list(vars(module).values()):
                if isinstance(value, JITFunction):
                    patch.setattr(value, "run", _compile_instead(value, found))
        yield found


def _compile_instead(kernel: JITFunction, found: list[tuple[str, str]]) -> Any:
    def run(*args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        given = dict(zip(kernel.arg_names, args, strict=False))
        options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
        constants = {name: value for name, value in given.items() if value is None} | kwargs
        tensors = {name: value for name, value in given.items() if value is not None}
        assert tensors.keys() | constants.keys() == set(kernel.arg_names)
        signature = {
            name: "constexpr" if name in constants else f"*{_TYPES[tensors[name].dtype]}" for name in kernel.arg_names
        }
        aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(kernel.arg_names) if name in tensors}
        compiled = triton.compile(ASTSource(kernel, signature, constants, aligned), target=H100, options=options)
        assert compiled.asm["cubin"]
        found.append((kernel.fn.__name__, compiled.asm["ptx"]))

    return run

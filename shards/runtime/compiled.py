"""Functions compiled by numba at their first call, and the few instructions that NumPy has no word for."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from llvmlite import binding, ir
from numba import njit, types
from numba.core import sigutils
from numba.extending import intrinsic

Word: TypeAlias = Any
"""An address, or 64 bits of values: `numpy.uint64` in what numba compiles."""


def compiled(function: Callable[..., Any], inline: str = "never") -> Any:
    """Compile at the first call, without the interpreter lock; the result is kept on disk where that can be written."""
    compile_ = partial(njit, nogil=True, boundscheck=False, inline=inline)
    try:
        return compile_(cache=True)(function)
    except RuntimeError:  # There is no folder to keep it in.
        return compile_()(function)


compiled_inline: Final = partial(compiled, inline="always")
"""The same for what loops call for each value: a call that may fail keeps numba from using vectors."""


_WORD: Final = ir.IntType(64)
_FOUR_WORDS: Final = ir.VectorType(_WORD, 4)
_FOUR_VALUES: Final = ir.VectorType(ir.IntType(16), 4)
_INDEX: Final = ir.IntType(32)


def _load_word(context: Any, address: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return _load(builder, arguments[0])

    return types.uint64(types.uint64), generate


def _load_big_endian(context: Any, address: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bswap(_load(builder, arguments[0]))

    return types.uint64(types.uint64), generate


def _store_word(context: Any, address: Any, word: Any) -> Any:
    def generate(codegen: Any, builder: Any, _: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _WORD.as_pointer()), align=1)
        return codegen.get_dummy_value()

    return types.void(types.uint64, types.uint64), generate


def _bit_length(context: Any, word: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.sub(_WORD(64), builder.ctlz(arguments[0], ir.IntType(1)(0)))

    return types.uint64(types.uint64), generate


def _unpack_four(context: Any, target: Any, source: Any, shifts: Any, mask: Any) -> Any:
    # Four shifts, the mask and the narrowing are an instruction each where vectors have 256 bits and a shift for each
    # lane, and the word comes into all four lanes as it is loaded. Other processors do the same in more steps.
    def generate(codegen: Any, builder: Any, _: Any, arguments: Any) -> Any:
        target, source, shifts, mask = arguments
        by = builder.load(builder.inttoptr(shifts, _FOUR_WORDS.as_pointer()), align=8)
        words = builder.lshr(_fourfold(builder, _load(builder, source)), by)
        fields = builder.trunc(builder.and_(words, _fourfold(builder, mask)), _FOUR_VALUES)
        builder.store(fields, builder.inttoptr(target, _FOUR_VALUES.as_pointer()), align=2)
        return codegen.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64, types.uint64), generate


def _load(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _WORD.as_pointer()), align=1)


def _fourfold(builder: Any, word: Any) -> Any:
    undefined = ir.Constant(_FOUR_WORDS, ir.Undefined)
    first = builder.insert_element(undefined, word, _INDEX(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INDEX, 4), [0] * 4))


load_word: Final[Any] = intrinsic(_load_word)
"""`load_word(address)`: the uint64 at an address of any alignment."""
load_big_endian: Final[Any] = intrinsic(_load_big_endian)
"""`load_big_endian(address)`: the same with its first byte highest, on a little-endian machine."""
store_word: Final[Any] = intrinsic(_store_word)
"""`store_word(address, word)` writes a uint64 to an address of any alignment."""
bit_length: Final[Any] = intrinsic(_bit_length)
"""`bit_length(word)`: bits of a uint64 without its leading zeros."""
unpack_four: Final[Any] = intrinsic(_unpack_four)
"""`unpack_four(target, source, shifts, mask)` writes four uint16 to an address: the uint64 at another, shifted to the
right by the four uint64 at a third, each time under a mask."""
pread: Final[Any] = types.ExternalFunction("pread", types.int64(types.int32, types.uint64, types.uint64, types.int64))
"""`pread(descriptor, address, count, offset)` of the C library, pread(2)."""


def c_function(name: str, address: int | None, signature: str) -> Any:
    """Return a function of a C library, for compiled functions to call.

    Args:
        name: what compiled code that is kept on disk knows it by.
        address: where it lies in this process; None if it is absent, and then no function that calls it may be called.
        signature: its types as numba writes them, such as `int32(uint64)`; pointers are uint64.
    """
    if address is not None:
        binding.add_symbol(name, address)
    arguments, result = sigutils.normalize_signature(signature)  # type: ignore[no-untyped-call]
    return types.ExternalFunction(name, result(*arguments))

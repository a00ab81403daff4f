"""A kernel that draws the same random numbers as NumPy.

A PCG64 generator (O'Neill, "PCG: A family of simple fast space-efficient statistically good
algorithms for random number generation", 2014) is a linear congruential generator of 128 bits,
``s = a * s + inc``. Each state gives one word of 64 bits, and each word two float32 numbers: one
from the lower half, then one from the upper half, of which the upper 24 bits are used. NumPy's
memory layout is::

    state address ->  pcg_state | has_uint32, uinteger     the unused upper half of a word
                          |
                          +-->  s (low, high) | inc (low, high)

Each state depends on the previous one, and the 128-bit product takes most of the time. So four
independent chains are computed side by side: each state is computed from the one four words
before, with ``a**4`` instead of ``a`` and the matching increment::

    s1  s2  s3  s4           ->  8 numbers of out
    s5  s6  s7  s8           ->  8 numbers of out       s5 = a**4 * s1 + (a**3 + a**2 + a + 1) * inc

`draw_uniform` is not divided: part 0 draws all numbers, to keep their order.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

from tinynet.config import COMPILES
from tinynet.kernels.numba_functions import cgutils, emitted, inlined, intrinsic, types
from tinynet.kernels.row import kernel, vector
from tinynet.kernels.simd import F32, at, call

_WORD, _MASK = 64, 2**64 - 1
_FACTOR = 0x2360ED051FC65DA44385DF649FCCF645
# Four steps in one: power of the factor, and multiplier of the increment.
_FACTOR4, _SUM4 = pow(_FACTOR, 4, 2**128), sum(_FACTOR**k for k in range(4)) % 2**128
_A_LOW, _A_HIGH = np.uint64(_FACTOR & _MASK), np.uint64(_FACTOR >> _WORD)
_A4_LOW, _A4_HIGH = np.uint64(_FACTOR4 & _MASK), np.uint64(_FACTOR4 >> _WORD)
_SUM4_LOW, _SUM4_HIGH = np.uint64(_SUM4 & _MASK), np.uint64(_SUM4 >> _WORD)
_NONE, _LOWER, _UNIT = np.uint64(0), np.uint64(2**32 - 1), np.float32(2.0**-24)

if not COMPILES:

    def _step(low, high, a_low, a_high, c_low, c_high):
        pairs = (low, high), (a_low, a_high), (c_low, c_high)
        s, a, c = (int(x) | int(y) << _WORD for x, y in pairs)
        s = s * a + c
        return np.uint64(s & _MASK), np.uint64(s >> _WORD & _MASK)

    def _output(low, high):
        both, count = int(low ^ high), int(high) >> 58
        return np.uint64((both >> count | both << (_WORD - count)) & _MASK)

    def _put(address, a, b, c, d):
        halves = np.array([a, b, c, d]).view(np.uint32)
        vector(address, 8, np.float32)[:] = (halves >> 8).astype(np.float32) * _UNIT

else:
    from llvmlite import ir

    _I64, _I128 = ir.IntType(64), ir.IntType(128)

    @intrinsic
    def _step(typing_context, low, high, factor_low, factor_high, add_low, add_high):
        """Return ``state * factor + add``, each of 128 bits in two halves."""

        def generate(context, builder, signature, arguments):
            def joined(low, high):
                high = builder.shl(builder.zext(high, _I128), _I128(_WORD))
                return builder.or_(builder.zext(low, _I128), high)

            state, factor, add = (joined(*arguments[k : k + 2]) for k in (0, 2, 4))
            state = builder.add(builder.mul(state, factor), add)
            high = builder.trunc(builder.lshr(state, _I128(_WORD)), _I64)
            return cgutils.pack_array(builder, [builder.trunc(state, _I64), high])

        return types.UniTuple(types.uint64, 2)(*[types.uint64] * 6), generate

    @emitted("uint64")
    def _output(b, low, high):
        """Return the word of a state: the XOR of its halves, rotated by the upper six bits."""
        both, count = b.xor(low, high), b.lshr(high, _I64(58))
        return call(b, "llvm.fshr.i64", _I64, both, both, count)

    @emitted()
    def _put(builder, address, a, b, c, d):
        """Write the eight float32 numbers of four words to an address."""
        words = ir.VectorType(_I64, 4)(ir.Undefined)
        for k, word in enumerate((a, b, c, d)):
            words = builder.insert_element(words, word, ir.IntType(32)(k))
        whole, real = (ir.VectorType(t, 8) for t in (ir.IntType(32), F32))
        upper = builder.lshr(builder.bitcast(words, whole), whole([8] * 8))
        x = builder.fmul(builder.sitofp(upper, real), real([2.0**-24] * 8))
        builder.store(x, at(builder, address, real), align=4)


@inlined
def _number(half):
    return np.float32(half >> np.uint32(8)) * _UNIT


@kernel
def draw_uniform(part, parts, count, numbers, state, out):
    """Draw ``word(count) * numbers`` float32 in [0, 1), as ``Generator.random`` does.

    `state` is the address from `state_address`; the generator's state is updated in place.
    """
    n = vector(count, 1, np.int64)[0] * numbers
    if part > 0 or n <= 0:
        return
    x, kept = vector(out, n, np.float32), vector(state + 8, 2, np.uint32)
    s = vector(int(vector(state, 1, np.int64)[0]), 4, np.uint64)
    i = 0
    if kept[0] != 0:
        x[0] = _number(kept[1])
        i, kept[0] = 1, 0
        if n == 1:
            return
    inc_low, inc_high = s[2], s[3]
    c_low, c_high = _step(inc_low, inc_high, _SUM4_LOW, _SUM4_HIGH, _NONE, _NONE)
    low, high = _step(s[0], s[1], _A_LOW, _A_HIGH, inc_low, inc_high)
    low2, high2 = _step(low, high, _A_LOW, _A_HIGH, inc_low, inc_high)
    low3, high3 = _step(low2, high2, _A_LOW, _A_HIGH, inc_low, inc_high)
    low4, high4 = _step(low3, high3, _A_LOW, _A_HIGH, inc_low, inc_high)
    while i + 8 < n:
        first, second = _output(low, high), _output(low2, high2)
        third, fourth = _output(low3, high3), _output(low4, high4)
        _put(out + 4 * i, first, second, third, fourth)
        low, high = _step(low, high, _A4_LOW, _A4_HIGH, c_low, c_high)
        low2, high2 = _step(low2, high2, _A4_LOW, _A4_HIGH, c_low, c_high)
        low3, high3 = _step(low3, high3, _A4_LOW, _A4_HIGH, c_low, c_high)
        low4, high4 = _step(low4, high4, _A4_LOW, _A4_HIGH, c_low, c_high)
        i += 8
    # The last one to four words are computed one by one, because the final state must be stored.
    while True:
        word = _output(low, high)
        lower, upper = np.uint32(word & _LOWER), np.uint32(word >> np.uint64(32))
        x[i] = _number(lower)
        if i + 1 < n:
            x[i + 1] = _number(upper)
        i += 2
        if i >= n:
            break
        low, high = _step(low, high, _A_LOW, _A_HIGH, inc_low, inc_high)
    s[0], s[1], kept[1] = low, high, upper
    kept[0] = i - n


def state_address(generator: np.random.Generator) -> int | None:
    """Return the address of a generator's state; valid as long as the generator lives.

    None if NumPy must draw: for other bit generators, or if NumPy's memory layout differs from
    the one above, which is verified.
    """
    bits = generator.bit_generator
    if type(bits) is not np.random.PCG64:
        return None
    address = int(bits.ctypes.state_address)
    known = bits.state
    place, kept = _words(address, 2)
    # Check that the address is within the object, so that it can be read safely.
    inside = id(bits) <= place <= id(bits) + sys.getsizeof(bits) - 32 and place % 8 == 0
    if not inside or kept != known["has_uint32"] | known["uinteger"] << 32:
        return None
    numbers = _words(place, 4)
    state = [known["state"][key] >> shift & _MASK for key in ("state", "inc") for shift in (0, 64)]
    return address if numbers == state else None


def _words(address: int, n: int) -> list[int]:
    return [*(ctypes.c_uint64 * n).from_address(address)]

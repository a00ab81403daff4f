"""LLVM instructions on vectors of 16 float32 lanes, for the intrinsics of other kernels.

Addresses are int64 values, `b` is the IR builder. AVX2 processors compute a vector as two halves,
with bit-identical results.
"""

import platform

import numpy as np
from llvmlite import ir

from tinynet.config import COMPILES
from tinynet.kernels.numba_functions import FEATURES, emitted, external
from tinynet.kernels.row import vector

_features = FEATURES.split(",")
AVX512 = "+avx512f" in _features
#: Without this instruction, the compiler would call a slow function of the C library.
FMA = "+fma" in _features or platform.machine() in ("aarch64", "arm64")
LANES = 16
I64, I32, I1, F32 = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.FloatType()
VECTOR = ir.VectorType(F32, LANES)


def view(address, rows, columns, down, along=4):
    """Return a view of float32 memory (strides in bytes), for kernels that run as plain Python."""
    size = ((rows - 1) * down + (columns - 1) * along) // 4 + 1
    memory = vector(int(address), size if rows > 0 and columns > 0 else 0, np.float32)
    return np.lib.stride_tricks.as_strided(memory, (rows, columns), (down, along))


def at(b, address, kind):
    """Convert an address to a pointer."""
    return b.inttoptr(address, kind.as_pointer())


def call(b, name, result, *arguments):
    """Call an LLVM function by name."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return b.call(external(b.module, kind, name), arguments)


def shifted(b, address, vectors):
    """Return the address of the vector that is `vectors` vectors later."""
    return b.add(address, I64(4 * LANES * vectors)) if vectors else address


def load(b, address, mask=None):
    """Load a vector; lanes outside the mask become 0, and their memory is not read."""
    if mask is None:
        return b.load(at(b, address, VECTOR), align=4)
    place = at(b, address, VECTOR)
    return call(b, "llvm.masked.load.v16f32.p0", VECTOR, place, I32(4), mask, VECTOR(None))


def store(b, x, address, mask=None):
    """Store a vector; the memory of lanes outside the mask is not written."""
    if mask is None:
        b.store(x, at(b, address, VECTOR), align=4)
    else:
        place = at(b, address, VECTOR)
        call(b, "llvm.masked.store.v16f32.p0", ir.VoidType(), x, place, I32(4), mask)


def below(b, width, first=0):
    """Return the mask of the lanes i with ``first + i < width``."""
    if AVX512:
        # Compute bits, because LLVM would repeat a comparison wherever the mask is used, even in
        # loops.
        lanes = b.sub(width, I64(first))
        lanes = b.select(b.icmp_signed(">", lanes, I64(0)), lanes, I64(0))
        lanes = b.select(b.icmp_signed("<", lanes, I64(LANES)), lanes, I64(LANES))
        bits = b.trunc(b.not_(b.shl(I64(-1), lanes)), ir.IntType(LANES))
        return b.bitcast(bits, ir.VectorType(I1, LANES))
    lanes = ir.VectorType(I32, LANES)([first + i for i in range(LANES)])
    return b.icmp_signed("<", lanes, splat(b, b.trunc(width, I32)))


def splat(b, x):
    """Return a vector of 16 equal lanes."""
    none = ir.VectorType(x.type, LANES)(ir.Undefined)
    first = b.insert_element(none, x, I32(0))
    return b.shuffle_vector(first, none, ir.VectorType(I32, LANES)([0] * LANES))


def broadcast(b, address):
    """Load a number and broadcast it to 16 lanes."""
    return splat(b, b.load(at(b, address, F32)))


def fma(b, x, y, z):
    """Return ``x * y + z``, with a single rounding if the processor supports it."""
    if FMA:
        return call(b, "llvm.fma.v16f32", VECTOR, x, y, z)
    return b.fadd(b.fmul(x, y), z)


def when(b, condition, values, build):
    """Emit ``if condition: values = build(values)``; return the values."""
    before = b.block
    with b.if_then(condition):
        new = build(values)
        inside = b.block
    result = [b.phi(v.type) for v in values]
    for phi, old, value in zip(result, values, new, strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(value, inside)
    return result


def as_is(module, branch):
    """Prevent LLVM from unrolling the loop of this branch; unrolling would not make it faster."""
    option = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop_id = ir.MDValue(module, [option], str(len(module.metadata)))
    loop_id.operands = (loop_id, option)  # LLVM requires a self-reference
    branch.set_metadata("llvm.loop", loop_id)


def loop(b, start, stop, step, values, body, unrolls=True):
    """Emit ``for i in range(start, stop, step): values = body(i, values)``; return the values.

    LLVM may unroll the loop if `unrolls`.
    """
    before, inside, after = b.block, b.append_basic_block("loop"), b.append_basic_block("done")
    b.cbranch(b.icmp_signed("<", start, stop), inside, after)
    b.position_at_end(inside)
    i, old = b.phi(I64), [b.phi(v.type) for v in values]
    new = body(i, old)
    following = b.add(i, I64(step))
    for phi, first, next_ in zip([i, *old], [start, *values], [following, *new], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, b.block)
    last = b.block
    end = b.cbranch(b.icmp_signed("<", following, stop), inside, after)
    if not unrolls:
        as_is(b.module, end)
    b.position_at_end(after)
    result = [b.phi(v.type) for v in values]
    for phi, first, next_ in zip(result, values, new, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(next_, last)
    return result


def _numbers(kind):
    """Return functions that read and write an integer at an index from an address.

    They compile much faster than array accesses.
    """
    size = np.dtype(kind).itemsize
    if not COMPILES:

        def read(address, i):
            return int(vector(int(address + size * i), 1, kind)[0])

        def write(address, i, value):
            vector(int(address + size * i), 1, kind)[0] = value

        return read, write

    def place(b, address, i):
        return at(b, b.add(address, b.mul(i, I64(size))), ir.IntType(8 * size))

    @emitted("int64")
    def read(b, address, i):
        number = b.load(place(b, address, i))
        if size == 8:
            return number
        return (b.zext if kind == np.uint16 else b.sext)(number, I64)

    @emitted()
    def write(b, address, i, value):
        value = value if size == 8 else b.trunc(value, ir.IntType(8 * size))
        b.store(value, place(b, address, i))

    return read, write


int64_at, put_int64 = _numbers(np.int64)
int32_at, put_int32 = _numbers(np.int32)
uint16_at, put_uint16 = _numbers(np.uint16)

if not COMPILES:

    def prefetch(address):
        """Do nothing: Python has no prefetch instruction."""

else:

    @emitted()
    def prefetch(b, address):
        """Prefetch the cache line at an address."""
        place = at(b, address, ir.IntType(8))
        read, keep, data = I32(0), I32(3), I32(1)
        call(b, "llvm.prefetch.p0", ir.VoidType(), place, read, keep, data)

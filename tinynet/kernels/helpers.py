"""Several threads: how the caller of a kernel hands parts of it to its helpers."""

import numpy as np
from numba import literal_unroll, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from tinynet.jit import jit
from tinynet.kernels.eager import inlined, inner, pointer
from tinynet.kernels.optimizers import adam, learn_dense, learn_sparse
from tinynet.kernels.products import product, take_rows
from tinynet.kernels.sparse import half_of_inputs, kernel_gradient, sort_by_column, sparse_dense
from tinynet.kernels.vectors import TALL, WIDE

# A job is one call of a kernel, cut in parts: part 0 is the caller's, each other one is offered
# to the helper thread that serves the box of its number. A part that its helper has not taken
# when the caller gets there is taken back, so that a helper that sleeps or waits for a processor
# costs speed only; nobody ever waits but for a part that is being computed. The cuts go between
# sums, or through the middle of one where a single thread adds two halves as well: the bits are
# those of the whole kernel, whoever computes what.

DENSE, SORT, GRADIENT, ADAM, HALF, LEARN_SPARSE, LEARN_DENSE = np.arange(7)
TAKE, PRODUCT, PRODUCT_OF_ROWS = np.arange(7, 10)
FREE, _OFFERED, _TAKEN = range(3)
# Words of a box, each kind on a cache line of its own; in box 0, where its caller runs, how often
# help came late, until when it goes without, room for the time, and what the job is.
STATE, STOP, _PLACE, LATE, REST, _TIME, _JOB, BOX = 0, 8, 16, 17, 18, 19, 24, 64
_YIELD, _SLEEP, _NAP = 2048, 1 << 23, 200  # idle rounds, idle rounds (about 20 ms), microseconds
# On a busy machine a caller is faster alone. When so many parts were taken by no helper, it goes
# without help for so many nanoseconds; when one kept it waiting for long, for a few times that.
TOO_LATE, PAUSE, _LONG, _TIMES = 100, 20_000_000, 50_000, 8
# With fewer multiplications, or numbers to be copied, handing over costs more than it gains.
SMALLEST_PRODUCT, SMALLEST_COPY = 1 << 18, 1 << 14


_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))
_sched_yield = types.ExternalFunction("sched_yield", types.int32())
_sched_getcpu = types.ExternalFunction("sched_getcpu", types.int32())
_usleep = types.ExternalFunction("usleep", types.int32(types.uint32))


def _word(context, builder, signature, arguments):
    """Point to the word of a box that an intrinsic's first two arguments name."""
    box = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(box.data, [arguments[1]])


@intrinsic
def _load(typing_context, box, i):
    """Read box[i], and see all that its writer wrote before."""

    def generate(context, builder, signature, arguments):
        word = _word(context, builder, signature, arguments)
        return builder.load_atomic(word, "acquire", 8)

    return types.int64(box, types.int64), generate


@intrinsic
def _store(typing_context, box, i, value):
    """Write box[i] after all that was written before."""

    def generate(context, builder, signature, arguments):
        word = _word(context, builder, signature, arguments)
        builder.store_atomic(arguments[2], word, "release", 8)
        return context.get_dummy_value()

    return types.void(box, types.int64, types.int64), generate


@intrinsic
def _swap(typing_context, box, i, old, new):
    """Write box[i] if it is `old`; say whether it was."""

    def generate(context, builder, signature, arguments):
        word = _word(context, builder, signature, arguments)
        result = builder.cmpxchg(word, arguments[2], arguments[3], "acq_rel", "acquire")
        return builder.extract_value(result, 1)

    return types.boolean(box, types.int64, types.int64, types.int64), generate


@inner
def _vector(box, i, kind):
    """Make the job's i-th array again, which is a vector."""
    return carray(pointer(box[_JOB + 3 * i + 1]), (box[_JOB + 3 * i + 2],), kind)


@inner
def _matrix(box, i, kind):
    """Make the job's i-th array again, which is a matrix."""
    j = _JOB + 3 * i + 1
    return carray(pointer(box[j]), (box[j + 1], box[j + 2]), kind)


@inlined
def product_of(job, a, b, out, part, parts):
    """Compute one part of a @ b or of a @ b.T, as the job says: some panels, or else some rows."""
    rows, columns = out.shape
    panels, tiles = -(-columns // WIDE), -(-rows // TALL)
    first, last, top, bottom = 0, columns, 0, rows
    if panels % parts == 0 or panels > 4 * parts:
        first, last = panels * part // parts * WIDE, panels * (part + 1) // parts * WIDE
        last = min(last, columns)
    else:
        top, bottom = tiles * part // parts * TALL, min(tiles * (part + 1) // parts * TALL, rows)
    product(a[::1, ::1], top, b, job == PRODUCT_OF_ROWS, first, last, out[top:bottom])


@inner
def _part(box, part, parts):
    """Compute one part of the job in box 0."""
    job = box[_JOB]
    if job == ADAM:
        w, d_w = _vector(box, 0, np.float32), _vector(box, 1, np.float32)
        m, v = _vector(box, 2, np.float32), _vector(box, 3, np.float32)
        n = _vector(box, 4, np.float64)
        # Cut where vector registers end.
        a, z = (w.size * part // parts) & -16, (w.size * (part + 1) // parts) & -16
        z = w.size if part + 1 == parts else z
        adam(w[a:z], d_w[a:z], m[a:z], v[a:z], n[0], n[1], n[2], n[3], None)
    elif job == GRADIENT:
        counts, samples = _matrix(box, 0, np.int32), _matrix(box, 1, np.int32)
        entries, d_y = _matrix(box, 2, np.float32), _matrix(box, 3, np.float32)
        out = _matrix(box, 4, np.float32)
        a, z = len(out) * part // parts, len(out) * (part + 1) // parts
        kernel_gradient(counts, samples, entries, d_y, out[a:z], a, z)
    elif job == LEARN_SPARSE:
        counts, samples = _matrix(box, 0, np.int32), _matrix(box, 1, np.int32)
        entries, d_y = _matrix(box, 2, np.float32), _matrix(box, 3, np.float32)
        d_w, w = _vector(box, 4, np.float32), _vector(box, 5, np.float32)
        m, v = _vector(box, 6, np.float32), _vector(box, 7, np.float32)
        n = _vector(box, 8, np.float64)
        inputs = counts.shape[1]
        a, z = inputs * part // parts, inputs * (part + 1) // parts
        learn_sparse(counts, samples, entries, d_y, d_w, w, m, v, n, a, z)
    elif job == LEARN_DENSE:
        x, d_y = _matrix(box, 0, np.float32), _matrix(box, 1, np.float32)
        d_w, w = _vector(box, 2, np.float32), _vector(box, 3, np.float32)
        m, v = _vector(box, 4, np.float32), _vector(box, 5, np.float32)
        learn_dense(x, d_y, d_w, w, m, v, _vector(box, 6, np.float64), part, parts)
    elif job == TAKE:
        x, rows = _matrix(box, 0, np.float32), _vector(box, 1, np.int64)
        out = _matrix(box, 2, np.float32)
        a, z = len(rows) * part // parts, len(rows) * (part + 1) // parts
        take_rows(x, rows[a:z], out[a:z])
    elif job >= PRODUCT:
        x, y = _matrix(box, 0, np.float32), _matrix(box, 1, np.float32)
        out = _matrix(box, 2, np.float32)
        product_of(job, x, y, out, part, parts)
    else:
        indptr, indices = _vector(box, 0, np.int64), _vector(box, 1, np.uint16)
        values, rows = _vector(box, 2, np.float32), _vector(box, 3, np.int64)
        if job == SORT:
            counts, samples = _matrix(box, 4, np.int32), _matrix(box, 5, np.int32)
            entries = _matrix(box, 6, np.float32)
            sort_by_column(indptr, indices, values, rows, counts, samples, entries)
        else:
            kernel, bias = _matrix(box, 4, np.float32), _vector(box, 5, np.float32)
            out = _matrix(box, 6, np.float32)
            if job == HALF:
                for half in range(part, 3 - parts + part):  # both, if nobody else does the other
                    y = _matrix(box, 7, np.float32) if half else out
                    half_of_inputs(indptr, indices, values, rows, kernel, bias, y, half)
            else:
                a, z = len(rows) * part // parts, len(rows) * (part + 1) // parts
                sparse_dense(indptr, indices, values, rows[a:z], kernel, bias, out[a:z])


@inner
def _await(box):
    """Wait for the part that a helper has taken."""
    rounds = 0
    while _load(box, STATE) == _TAKEN:
        rounds += 1
        if rounds % _YIELD == 0:
            _sched_yield()  # it may be this processor that the helper waits for


@inner
def _now(box):
    """Read the clock that always goes forward, in nanoseconds."""
    _clock_gettime(1, pointer(box.ctypes.data + 8 * _TIME))
    return int(box[_TIME] * 1_000_000_000 + box[_TIME + 1])


@jit()
def offer(boxes, job, *arrays):
    """Put a job's arrays in box 0, and offer its parts; a sort has one part, which is 1."""
    for part in range(1, boxes.shape[0]):  # what an error left unfinished
        if not _swap(boxes[part], STATE, _OFFERED, FREE):
            _await(boxes[part])
    mine = boxes[0]
    mine[_JOB], mine[_PLACE] = job, _sched_getcpu()
    j = _JOB + 1
    for array in literal_unroll(arrays):
        mine[j], mine[j + 1], mine[j + 2] = array.ctypes.data, array.shape[0], array.shape[-1]
        j += 3
    if mine[REST] > 0 and _now(mine) > mine[REST]:
        mine[REST] = 0
    if mine[REST] == 0:
        for part in range(1, 2 if job == SORT else boxes.shape[0]):
            _store(boxes[part], STATE, _OFFERED)


@jit()
def work(boxes, part):
    """Finish the job as its caller, part 0; or serve box `part` as its helper until told to stop.

    One function for both, since all kernels are compiled into it.
    """
    mine, parts = boxes[0], boxes.shape[0]
    if part == 0:
        alone, begin = mine[REST] > 0, _now(mine)
        if alone or mine[_JOB] != SORT:
            _part(mine, 0, 1 if alone else parts)
        own = _now(mine) - begin
        for other in range(1, 2 if mine[_JOB] == SORT else parts):
            late, begin = -1, _now(mine)
            if not alone and _swap(boxes[other], STATE, _OFFERED, FREE):
                _part(mine, other, parts)
                late = 1
            else:
                _await(boxes[other])
                lost = _now(mine) - begin - own
                if mine[_JOB] != SORT and lost > _LONG:
                    mine[REST] = begin + _TIMES * lost
            mine[LATE] = max(mine[LATE] + late, 0)
            if mine[LATE] >= TOO_LATE:
                mine[LATE], mine[REST] = 0, begin + PAUSE
        return
    box, idle = boxes[part], 0
    while _load(box, STOP) == 0:
        if _load(box, STATE) == _OFFERED and _swap(box, STATE, _OFFERED, _TAKEN):
            _part(mine, part, parts)
            _store(box, STATE, FREE)
            idle = 0
            continue
        idle += 1
        if idle % _YIELD == 0:
            # A helper that nobody needs, or that keeps its caller from running, must not spin.
            if idle > _SLEEP or mine[REST] > 0 or _sched_getcpu() == mine[_PLACE]:
                _usleep(_NAP)
            else:
                _sched_yield()

"""The runner: calls the kernels of a table's rows, step after step.

A single thread executes the rows of a step in order (`run`). Several threads share a table as
follows (`run_with_workers` is the calling thread, `work` is one worker thread)::

    row          caller         worker 1       worker 2      (an example)
    0 begin      begin
    1 linear     part 0 of 3    part 1         part 2        SPLIT: one part per thread
    2 sort                      sort                         ASIDE: the first idle worker
    3 loss       loss                                        ALONE: the caller
    4 learn      part 0 of 3    part 1         part 2

A task is a unit of work for a worker: a part of a SPLIT row, or an ASIDE row. The caller and the
workers go through the same steps in the same order. The thread that claims a task first executes
it: its worker, as soon as all tasks that it waits for are done, or the caller, if it needs the
result and no worker has begun. So a sleeping worker only costs speed, and a thread never waits
except for a task that is being computed. Results are bit-identical whichever thread computes a
task, because kernels never divide a sum between parts.

Memory layout, in int64 words; data that several threads write is on separate cache lines::

    head     the row of `run` or `run_with_workers`: addresses of all other structures
    rows     one row per kernel call; the runner owns its first FIRST words
    step     the step block: index of the step, its batch, the stop flag
    tasks    one line per task, in the order of the rows: what to call, what it waits for
    lines    one line per task, and per row of the caller that a task waits for:
             the steps in which it was last claimed and done
    state    the caller's measurements: whether workers make this table faster
    pool     one per group of threads, for any number of tables: current step, stop flag, ...

Python allocates all of it and keeps it alive (`program.row_order`, `training.thread_pool`). Steps
are numbered across all calls, and a step can be claimed only if the last claimed step is smaller: a
late worker, which still has the number of a finished step, cannot claim anything.
"""

import numpy as np

from tinynet.kernels.kernel_function import WORDS
from tinynet.kernels.numba_functions import emitted, inner
from tinynet.kernels.row import call_at, kernel, vector
from tinynet.kernels.simd import I32, I64, at, call, int64_at

#: Words of a row: address of the kernel; line in which the caller marks the row as done (0: none);
#: number of parts (0: not executed by the caller); list and number of tasks to finish first.
ADDRESS, SAYS, PARTS, FINISHES, FINISH_COUNT = range(5)
#: Words of the step block. A kernel sets STOP to 1 to make the runner return after its row.
NUMBER, EXAMPLE, N, STOP = range(4)
#: Words of a task: row; part (number of its worker; 0: any worker); number of parts; line; list and
#: number of the lines that it waits for.
ROW, PART, OF, LINE, WAITS, WAIT_COUNT = range(6)
TASK = 8
#: Words of the pool; each group has a separate cache line: current step, for which workers may
#: claim tasks; whether workers exit; the caller's processor, and whether it needs workers; the
#: tasks; the caller's private words; and from BUSY on, one line per thread: the step whose tasks it
#: reads.
CURRENT, END, PLACE, NEEDED, TASKS, TASK_COUNT = 0, 8, 16, 17, 24, 25
THREADS, LATE, REST, STEPS, _TIME, _PATIENCE, BUSY = 32, 33, 34, 35, 36, 38, 40
#: Words of a table's state: its last step; whether the caller works alone, and for how many more
#: steps; and the measurements of `_decide`.
LAST, ALONE, LEFT, PHASE, LENGTH, SINCE, SPENT, PACE = range(8)
SINGLE, WINS, NEXT, INTERVAL, RESULT = range(8, 13)
STATE = 16
_RESTS = 2  # value of ALONE: workers are paused, regardless of the measurements

_BYTES, _LANES = 8 * WORDS, 16
_CLAIMED, _DONE, _LINE = 0, 8, 64  # offsets in a line, and its size, in bytes
# Idle rounds between two yields; idle rounds until a worker sleeps, about 20 ms; duration of a
# sleep, in microseconds.
_OFTEN, _SLEEP, _NAP = 2048, 1 << 23, 200
# On a busy machine, a caller alone is faster. After TOO_LATE tasks that no worker began, it works
# alone for PAUSE nanoseconds. After waiting for a worker for more than _LONG nanoseconds and 1 /
# _PART of a step, it works alone for _TIMES the wait. The limit grows with the step, because the
# parts of a long row never end at the same time.
TOO_LATE, PAUSE, _LONG, _PART, _TIMES = 100, 20_000_000, 50_000, 2, 8
# The benefit of workers is measured in _PAIRS pairs of periods of _STRETCH nanoseconds, or in
# _FEWER pairs for steps of at least _LONG_STEP nanoseconds, which are measured more precisely. The
# next trial follows after _RARELY times the duration of this one; the interval doubles after each
# trial with the same result, up to _SELDOM nanoseconds.
_PAIRS, _STRETCH, _RARELY, _SELDOM = 7, 200_000, 30, 2_000_000_000
_FEWER, _LONG_STEP = 3, 1_000_000


@emitted("int64")
def get(b, address):
    """Load a word, ordered before all later accesses (sequentially consistent)."""
    return b.load_atomic(at(b, address, I64), "seq_cst", 8)


@emitted()
def put(b, address, value):
    """Store a word, ordered after all earlier accesses (release)."""
    b.store_atomic(value, at(b, address, I64), "release", 8)


@emitted("boolean")
def swap(b, address, old, new):
    """Compare-and-swap: store a word if it is `old`; return whether it was."""
    return b.extract_value(b.cmpxchg(at(b, address, I64), old, new, "seq_cst", "seq_cst"), 1)


def _call_c(b, name, *arguments):
    """Call a function of the C library that returns an int."""
    return b.sext(call(b, name, I32, *arguments), I64)


@emitted("int64")
def _clock(b, room):
    """Write the monotonic clock to two words: seconds and nanoseconds."""
    return _call_c(b, "clock_gettime", I32(1), at(b, room, I64))


@emitted("int64")
def _yield(b):
    """Yield the processor to another thread that is ready to run."""
    return _call_c(b, "sched_yield")


@emitted("int64")
def _nap(b):
    """Sleep for a short time."""
    return _call_c(b, "usleep", I32(_NAP))


@emitted("int64")
def _processor(b):
    """Return the number of the processor that this thread runs on."""
    return _call_c(b, "sched_getcpu")


# ---------------------------------------------------------------- one thread


@kernel
def begin(part, parts, step, batch, examples, scalars, splats, count):
    """Begin a step: set its batch and its scalars.

    `step` is the step block, `batch` the batch size, and `examples` the number of examples of the
    call. The step's row of `scalars`, a float32 table (steps, count), is broadcast to `splats`, 16
    lanes for each scalar.
    """
    block = vector(step, 4, np.int64)
    block[NUMBER] += 1
    number = block[NUMBER]
    block[EXAMPLE] = number * batch
    block[N] = min(batch, examples - block[EXAMPLE])
    given = vector(scalars, (number + 1) * count, np.float32)
    out = vector(splats, _LANES * count, np.float32)
    for i in range(count):
        for lane in range(_LANES):
            out[_LANES * i + lane] = given[number * count + i]


@kernel
def run(part, parts, rows, count, steps, step):
    """Execute all rows of each step in order, until a kernel sets the stop flag."""
    block = vector(step, 4, np.int64)
    for _ in range(steps):
        for i in range(count):
            row = rows + i * _BYTES
            call_at(int64_at(row, ADDRESS), row, 0, 1)
            if block[STOP]:
                return


# ---------------------------------------------------------------- tasks


@inner
def _call(task):
    row = int64_at(task, ROW)
    call_at(int64_at(row, ADDRESS), row, int64_at(task, PART), int64_at(task, OF))


@inner
def _is_ready(task, s):
    """Return whether all tasks that a task waits for are done in step s."""
    waits, k, count = int64_at(task, WAITS), 0, int64_at(task, WAIT_COUNT)
    while k < count and get(int64_at(waits, k) + _DONE) == s:
        k += 1
    return k == count


@inner
def _claim(line, s):
    """Claim a task for this thread in step s; return whether it succeeded."""
    before = get(line + _CLAIMED)
    return before < s and swap(line + _CLAIMED, before, s)


@inner
def _now(pool):
    """Return the monotonic time in nanoseconds."""
    _clock(pool + 8 * _TIME)
    return int64_at(pool, _TIME) * 1_000_000_000 + int64_at(pool, _TIME + 1)


@inner
def _compute(task, s):
    """Compute a task unless another thread has claimed it; return whether it was computed."""
    line = int64_at(task, LINE)
    if not _claim(line, s):
        return False
    _call(task)
    put(line + _DONE, s)
    return True


@inner
def _finish(pool, task, s):
    """Compute a task that no worker has begun, or wait until it is done.

    Return whether this thread computed it.
    """
    line = int64_at(task, LINE)
    if _compute(task, s):
        return True
    if get(line + _DONE) != s:
        begin, rounds = _now(pool), 0
        while get(line + _DONE) != s:
            rounds += 1
            if rounds % _OFTEN == 0:
                _yield()  # the worker may need this processor
        if rounds > 256:
            lost = _now(pool) - begin
            if lost > int64_at(pool, _PATIENCE):
                vector(pool, BUSY, np.int64)[REST] = begin + _TIMES * lost
    return False


@inner
def _finish_all(pool, tasks, count, s):
    """Finish the tasks at these addresses, in order; return how many no worker had begun."""
    taken = 0
    if count > 1:  # compute all available tasks before waiting
        for k in range(count):
            task = int64_at(tasks, k)
            if _is_ready(task, s):
                taken += _compute(task, s)
    for k in range(count):
        taken += _finish(pool, int64_at(tasks, k), s)
    return taken


# ---------------------------------------------------------------- workers


@kernel
def work(part, parts, pool):
    """Run worker thread `part` of the pool until the pool ends."""
    current, busy, idle, last = pool + 8 * CURRENT, pool + 8 * (BUSY + 8 * part), 0, 0
    while get(pool + 8 * END) == 0:
        s = get(current)
        if s <= last:
            idle += 1
            if idle % _OFTEN == 0:
                # An idle worker that is not needed, or that runs on the caller's processor, must
                # not spin.
                unneeded = idle > _SLEEP or get(pool + 8 * NEEDED) == 0
                if unneeded or _processor() == get(pool + 8 * PLACE):
                    _nap()
                else:
                    _yield()
            continue
        idle, last = 0, s
        swap(busy, 0, s)
        # From here on, the caller does not replace the tasks. They belong to step s if it is still
        # the current step.
        if get(current) == s:
            tasks = int64_at(pool, TASKS)
            for k in range(int64_at(pool, TASK_COUNT)):
                task = tasks + k * 8 * TASK
                whose, line = int64_at(task, PART), int64_at(task, LINE)
                if whose != 0 and whose != part:
                    continue
                rounds = 0
                while get(current) == s and get(line + _CLAIMED) < s:
                    if _is_ready(task, s):
                        _compute(task, s)
                        break
                    rounds += 1
                    if rounds % _OFTEN == 0:
                        if _processor() == get(pool + 8 * PLACE):
                            _nap()
                        else:
                            _yield()
        put(busy, 0)


# ---------------------------------------------------------------- the caller


@inner
def _count(own, now):
    """Add the time since the last call to the current period, unless workers were paused."""
    own[SPENT] += now - own[SINCE] if own[ALONE] != _RESTS else 0
    own[SINCE] = now


@inner
def _decide(pool, own):
    """Decide whether the caller works alone, and for how many steps.

    A trial consists of pairs of periods with the same number of steps: one with workers, one
    without. Until the next trial, workers are used if they were faster in most pairs. Trials become
    rarer while their result stays the same; the next trial comes earlier if steps with workers have
    become slower than steps without.
    """
    now, mine, phase = _now(pool), vector(pool, BUSY, np.int64), own[PHASE]
    resting = mine[REST] > now
    put(pool + 8 * NEEDED, 0 if resting or (phase < 0 and own[RESULT]) else 1)
    put(pool + 8 * PLACE, _processor())
    own[LEFT] = 0
    _count(own, now)
    if resting:
        own[ALONE] = _RESTS
        return
    mine[REST] = 0
    spent, own[SPENT] = own[SPENT], 0
    if phase < 0 and not own[RESULT] and spent > 8 * own[LENGTH] * own[SINGLE]:
        own[NEXT] -= (own[NEXT] - now) // 2
    if phase < 0 and now < own[NEXT]:
        own[ALONE], own[LEFT] = own[RESULT], 8 * own[LENGTH]
        return
    if phase <= 0:
        own[WINS], own[LENGTH], phase = 0, 1, 0
    elif phase % 2 == 0:
        own[PACE] = spent
    else:
        own[WINS] += phase > 1 and own[PACE] < spent
        own[SINGLE] = max(spent // own[LENGTH], 1)
        own[LENGTH] = max(_STRETCH // own[SINGLE], 1)
    phase += 1
    pairs = _FEWER if own[SINGLE] >= _LONG_STEP else _PAIRS
    if phase > 2 * pairs + 1:
        result = 2 * own[WINS] < pairs
        least = _RARELY * phase * max(own[SINGLE], _STRETCH)
        longer = max(least, min(2 * own[INTERVAL], _SELDOM))
        own[INTERVAL] = longer if result == own[RESULT] else least
        own[RESULT], own[NEXT], phase = result, now + own[INTERVAL], -1
    own[PHASE], own[ALONE], own[LEFT] = phase, own[RESULT] if phase < 0 else phase % 2, own[LENGTH]


@kernel
def run_with_workers(
    part, parts, rows, count, steps, step, tasks, task_count, last, last_count, state, pool
):
    """Execute steps as `run` does, with the workers of a pool, which are idle after the call.

    `last` and `last_count` are the tasks to be finished at the end of each step.
    """
    block, mine = vector(step, 4, np.int64), vector(pool, BUSY, np.int64)
    own, current = vector(state, STATE, np.int64), pool + 8 * CURRENT
    if mine[TASKS] != tasks:
        for other in range(1, mine[THREADS]):  # workers may still read another table's tasks
            while get(pool + 8 * (BUSY + 8 * other)) != 0:
                _yield()
        mine[TASKS], mine[TASK_COUNT] = tasks, task_count
    mine[STEPS] = max(mine[STEPS], own[LAST])  # another pool may have run this table
    own[SINCE] = _now(pool)
    for _ in range(steps):
        if own[LEFT] == 0 or mine[REST] > 0:
            _decide(pool, own)
        own[LEFT] = max(own[LEFT] - 1, 0)
        mine[_PATIENCE] = max(_LONG, own[SINGLE] // _PART)
        alone = own[ALONE] != 0
        s, taken = mine[STEPS], 0
        if not alone:
            s += 1
            mine[STEPS] = own[LAST] = s
            put(current, s)
        for i in range(count):
            row = rows + i * _BYTES
            if alone:
                call_at(int64_at(row, ADDRESS), row, 0, 1)
            else:
                finishes = int64_at(row, FINISH_COUNT)
                if finishes > 0:
                    taken += _finish_all(pool, int64_at(row, FINISHES), finishes, s)
                if int64_at(row, PARTS) > 0:
                    call_at(int64_at(row, ADDRESS), row, 0, int64_at(row, PARTS))
            if block[STOP]:
                break
            if not alone and int64_at(row, SAYS) != 0:
                put(int64_at(row, SAYS) + _DONE, s)
        if not alone:
            if block[STOP]:  # later tasks wait for this row and never begin
                for k in range(task_count):
                    task = tasks + k * 8 * TASK
                    if int64_at(task, ROW) < row:
                        _finish(pool, task, s)
            else:
                taken += _finish_all(pool, last, last_count, s)
            mine[LATE] = max(mine[LATE] + 2 * taken - task_count, 0)
            if mine[LATE] >= TOO_LATE:
                mine[LATE], mine[REST] = 0, _now(pool) + PAUSE
        if block[STOP]:
            break
    _count(own, _now(pool))
    swap(current, mine[STEPS], 0)

"""Maximum errors of the elementary functions of the kernels, over all float32 inputs.

``python -m benchmarks.elementary`` takes a few minutes; ``--step 97`` uses every 97th input, and
positional arguments select functions. Errors are in units in the last place (ulp) of the exact
result, which is computed in double precision. A correctly rounded result has an error of at most
0.5 ulp.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from benchmarks.result_files import positive
from tinynet.kernels import chain as chains

Array = np.ndarray[Any, Any]

CHUNK = 1 << 20
EXACT = {
    **{name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "tanh")},
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(math.erfc, otypes=[np.float64]),
    "power": np.power,
}


def compute(name: str, *operands: Array) -> Array:
    """Apply an elementwise operation with the kernel `chain`."""
    out = np.empty_like(operands[0])
    count = np.ones(1, np.int64)
    addresses = [out.ctypes.data, *(x.ctypes.data for x in operands)]
    kinds = [chains.OUT] + [chains.IN] * len(operands)
    slots = np.array([(*slot, i, 0) for i, slot in enumerate(zip(kinds, addresses, strict=True))])
    indices = [*range(len(slots)), 0, 0, 0][:4]
    code = np.array([chains.OPERATIONS[name].number, *indices])
    size = chains.room_size(0, len(slots), chains.FLAT)
    room = np.empty(size + 64, np.uint8)
    row = chains.chain.row(
        count=count.ctypes.data, per=1, cols=out.size, mode=chains.FLAT, code=code.ctypes.data,
        ops=1, slots=slots.ctypes.data, n_slots=len(slots), offset=0, length=-1, flush=0,
        room=room.ctypes.data + -room.ctypes.data % 64, room_size=size,
    )  # fmt: skip
    chains.chain(row)
    return out


def errors(found: Array, exact: Array) -> Array:
    """Return the errors in ulp: infinite if only one value is NaN, or if signs of zeros differ."""
    with np.errstate(invalid="ignore"):  # a signaling NaN
        size = found.astype(np.float64)
    exponent = np.abs(exact).view(np.int64) >> 52
    ulp = ((np.clip(exponent, 1023 - 126, 1023 + 127) - 23) << 52).view(np.float64)
    # Treat infinity as 2**128, the successor of the largest float32.
    error = np.abs(np.clip(size, -(2.0**128), 2.0**128) - np.clip(exact, -(2.0**128), 2.0**128))
    wrong = np.isnan(size) != np.isnan(exact)
    wrong |= (exact == 0) & (np.signbit(size) != np.signbit(exact))
    return np.where(wrong, np.inf, np.where(np.isnan(exact), 0.0, error / ulp))


def largest_error(name: str, step: int = 1, first: int = 0) -> tuple[float, float]:
    """Return the maximum error of a unary function, and the input at which it occurs."""
    worst, where = -1.0, 0.0
    for start in range(first, 1 << 32, CHUNK * step):
        words = np.arange(start, min(start + CHUNK * step, 1 << 32), step, dtype=np.uint64)
        x = words.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            error = errors(compute(name, x), EXACT[name](x.astype(np.float64)))
        i = int(np.argmax(error))
        if error[i] > worst:
            worst, where = float(error[i]), float(x[i])
    return worst, where


def largest_error_of_power(count: int = 10_000_000, seed: int = 0) -> tuple[float, Any]:
    """Return the maximum error of random powers whose results are finite and normal."""
    rng = np.random.default_rng(seed)
    worst, where = -1.0, (0.0, 0.0)
    for _ in range(0, count, CHUNK):
        x = np.exp(rng.uniform(-88, 88, CHUNK)).astype(np.float32)
        x[::2] = rng.uniform(0.5, 2, CHUNK // 2)
        with np.errstate(all="ignore"):
            y = (rng.uniform(-87, 88, CHUNK) / np.log(x)).astype(np.float32)
        y[~np.isfinite(y)] = 1
        error = errors(compute("power", x, y), np.power(x.astype(float), y.astype(float)))
        i = int(np.argmax(error))
        if error[i] > worst:
            worst, where = float(error[i]), (float(x[i]), float(y[i]))
    return worst, where


def main(arguments: list[str] | None = None) -> None:
    """Print a table of the maximum errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elementary", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"functions: {', '.join(EXACT)}")
    parser.add_argument("--step", type=positive, default=1, help="step between inputs")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - {*EXACT}:
        parser.error(f"NAME must be one of {', '.join(EXACT)}. Received: {min(unknown)}")
    print(f"{'function':10s}{'largest error (ulp)':>20s}   at")
    for name in options.names or EXACT:
        if name == "power":
            worst, where = largest_error_of_power()
        else:
            worst, where = largest_error(name, options.step)
        print(f"{name:10s}{worst:20.4f}   {where}", flush=True)


if __name__ == "__main__":
    main()

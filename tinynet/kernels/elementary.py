"""Elementary functions of float32 vectors, with an error of at most 1 unit in the last place (ulp).

Each function is written once, with operators and the basic functions at the beginning. Arguments
are `Lanes`, whose operators emit LLVM instructions, or NumPy arrays. A lane's result does not
depend on other lanes, no instruction is reordered or contracted, and each `fma` is explicit, so
that results are bit-identical with AVX2 and AVX-512. The polynomials are minimax approximations
whose error is small compared with float32 rounding error. ``python -m benchmarks.elementary``
measures the errors of the results.

==========  =================================================================================
exp, expm1  ``x = n log(2) + r`` with an integer n and ``|r| <= log(2) / 2``, so that
            ``exp(x) = 2**n + 2**n expm1(r)``; expm1(r) is a polynomial
tanh        ``x + x**3 p(x**2)`` for ``|x| < 1``, otherwise ``1 - 2 / (exp(2 |x|) + 1)``
log, log1p  ``x = 2**n (1 + f)`` with ``3/4 <= 1 + f < 3/2``, so that
            ``log(x) = n log(2) + log(1 + f)``; the latter is a polynomial of f
power       ``exp(y log(|x|))``; here log is an odd polynomial of ``f / (2 + f)``
erfc        ``exp(-x**2)`` times a polynomial of ``(x - k) / (x + k)``, for x >= 0
erf         ``x p(x**2)`` for ``|x| < 1/2``, otherwise ``1 - erfc(|x|)``
==========  =================================================================================

expm1, power, erf and erfc are computed in double precision. The largest errors over all inputs are
0.84 ulp for exp, 0.97 for tanh, 0.83 for log and log1p, and 0.81 for expm1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir

from tinynet.kernels.simd import F32, FMA, I32, I64, LANES, call

F64 = ir.DoubleType()
_NUMPY = {F32: np.float32, F64: np.float64, I32: np.int32, I64: np.int64}


class Lanes:
    """A vector of `LANES` numbers or truth values in registers, with the operators of an array."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @property
    def element(self) -> Any:
        """Type of one lane."""
        return self.value.type.element

    def like(self, number: Any) -> Any:
        """Return a scalar as a constant vector of this type, or the value of a vector."""
        if isinstance(number, Lanes):
            return number.value
        return ir.Constant(self.value.type, [number] * LANES)

    def call(self, name: str, *others: Any) -> Lanes:
        """Call an LLVM intrinsic that returns a vector of this type."""
        values = [self.value, *(self.like(x) for x in others)]
        name = f"llvm.{name}.v{LANES}{'f32' if self.element == F32 else 'f64'}"
        return Lanes(self.builder, call(self.builder, name, self.value.type, *values))

    def convert(self, instruction: str, element: Any) -> Lanes:
        """Apply a conversion instruction, such as "fpext"."""
        kind = ir.VectorType(element, LANES)
        return Lanes(self.builder, getattr(self.builder, instruction)(self.value, kind))

    def __neg__(self) -> Lanes:
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __invert__(self) -> Lanes:
        return Lanes(self.builder, self.builder.not_(self.value))


def _operator(on_floats: str, on_integers: str, reflected: bool = False) -> Any:
    def operator(self: Lanes, other: Any) -> Lanes:
        name = on_floats if self.element in (F32, F64) else on_integers
        values = self.value, self.like(other)
        return Lanes(self.builder, getattr(self.builder, name)(*values[:: -1 if reflected else 1]))

    return operator


def _comparison(sign: str) -> Any:
    def comparison(self: Lanes, other: Any) -> Lanes:
        values = self.value, self.like(other)
        if self.element in (F32, F64):  # != must be true for NaN
            ordered = sign != "!="
            compare = self.builder.fcmp_ordered if ordered else self.builder.fcmp_unordered
        else:
            compare = self.builder.icmp_signed
        return Lanes(self.builder, compare(sign, *values))

    return comparison


for _name, _floats, _integers in (
    *(("add", "fadd", "add"), ("sub", "fsub", "sub"), ("mul", "fmul", "mul")),
    *(("truediv", "fdiv", ""), ("and", "", "and_"), ("or", "", "or_")),
    *(("lshift", "", "shl"), ("rshift", "", "ashr")),
):
    setattr(Lanes, f"__{_name}__", _operator(_floats, _integers))
    setattr(Lanes, f"__r{_name}__", _operator(_floats, _integers, reflected=True))
for _name, _sign in zip(
    ("lt", "le", "gt", "ge", "eq", "ne"), ("<", "<=", ">", ">=", "==", "!="), strict=True
):
    setattr(Lanes, f"__{_name}__", _comparison(_sign))


# Functions that the formulas need in addition to operators, for `Lanes` and NumPy arrays.


def where(condition: Any, x: Any, y: Any) -> Any:
    """Return x where the condition is true, and y elsewhere; one of them may be a scalar."""
    if not isinstance(condition, Lanes):
        return np.where(condition, x, y)
    kind = x if isinstance(x, Lanes) else y
    chosen = condition.builder.select(condition.value, kind.like(x), kind.like(y))
    return Lanes(condition.builder, chosen)


def fma(a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c`` with a single rounding (float64 arrays: two roundings)."""
    if isinstance(a, Lanes):
        return a.call("fma", b, c) if FMA else a * b + c
    if a.dtype == np.float32:
        a, b, c = (np.float64(np.float32(x)) for x in (a, b, c))
        return np.float32(a * b + c)
    return a * b + c


def polynomial(x: Any, *coefficients: float) -> Any:
    """Evaluate ``c[0] + c[1] x + c[2] x**2 + ...`` by Horner's rule."""
    *others, y = coefficients
    for c in reversed(others):
        y = fma(x, y, c)
    return y


def absolute(x: Any) -> Any:
    """Return the absolute value."""
    return x.call("fabs") if isinstance(x, Lanes) else np.abs(x)


def floor(x: Any) -> Any:
    """Round down to an integer."""
    return x.call("floor") if isinstance(x, Lanes) else np.floor(x)


def ceil(x: Any) -> Any:
    """Round up to an integer."""
    return x.call("ceil") if isinstance(x, Lanes) else np.ceil(x)


def rint(x: Any) -> Any:
    """Round to the nearest integer, halves to even."""
    return x.call("roundeven") if isinstance(x, Lanes) else np.rint(x)


def sqrt(x: Any) -> Any:
    """Return the square root."""
    return x.call("sqrt") if isinstance(x, Lanes) else np.sqrt(x)


def truth(condition: Any) -> Any:
    """Return 1.0 where the condition is true, and 0.0 elsewhere, as float32."""
    if not isinstance(condition, Lanes):
        return np.float32(condition)
    return condition.convert("uitofp", F32)


def double(x: Any) -> Any:
    """Convert float32 or int32 to float64."""
    if not isinstance(x, Lanes):
        return x.astype(np.float64)
    return x.convert("fpext" if x.element == F32 else "sitofp", F64)


def single(x: Any) -> Any:
    """Round float64, or convert int32, to float32."""
    if not isinstance(x, Lanes):
        return x.astype(np.float32)
    return x.convert("fptrunc" if x.element == F64 else "sitofp", F32)


def bits(x: Any, element: Any) -> Any:
    """Reinterpret the bits as another type of the same size."""
    return x.convert("bitcast", element) if isinstance(x, Lanes) else x.view(_NUMPY[element])


def high_half(x: Any) -> Any:
    """Return the upper 32 bits of float64: sign, exponent, and the first bits of the fraction."""
    if not isinstance(x, Lanes):
        return (x.view(np.int64) >> 32).astype(np.int32)
    shifted = bits(x, I64).value
    shifted = x.builder.lshr(shifted, ir.Constant(shifted.type, [32] * LANES))
    return Lanes(x.builder, shifted).convert("trunc", I32)


def from_high_half(x: Any) -> Any:
    """Return the float64 value with these upper 32 bits; the lower bits are 0."""
    if not isinstance(x, Lanes):
        return (x.astype(np.int64) << 32).view(np.float64)
    wide: Any = x.convert("zext", I64)
    return bits(wide << 32, F64)


# ---------------------------------------------------------------- exp and related functions

_LOG_2 = math.log(2)
# The upper part has few bits, so that its product with a small integer is exact.
_LOG_2_HIGH, _LOG_2_LOW = 0.693359375, -2.12194440e-4
# At this magnitude the last bit of a float is 1, so that adding the constant rounds to an integer.
_MAGIC, _MAGIC64 = 1.5 * 2**23, 1.5 * 2**52
_EXPM1 = (
    0.5000000061931154, 0.16666542990556205, 0.041666282051798745, 0.008366584095225676,
    0.0013946448050821834,
)  # fmt: skip


def _limited(x: Any, low: float, high: float) -> Any:
    """Limit x to a range, so that the exponent of a result does not overflow; NaN stays NaN."""
    x = where(x < low, low, x)
    return where(x > high, high, x)


def _with_sign(y: Any, x: Any) -> Any:
    """Return y, which is not negative, with the sign of x."""
    return bits(bits(y, I32) | (bits(x, I32) & (-1 << 31)), F32)


def _reduced(x: Any) -> tuple[Any, Any, Any]:
    """Return r, ``expm1(r) - r``, and n in the exponent bits, where ``x = n log(2) + r``."""
    shifted = fma(x, 1 / _LOG_2, _MAGIC)  # the last bits are n
    n = shifted - _MAGIC
    r = fma(n, -_LOG_2_LOW, fma(n, -_LOG_2_HIGH, x))
    return r, r * r * polynomial(r, *_EXPM1), bits(shifted, I32) << 23


def exp(x: Any) -> Any:
    """Compute the exponential, in single precision."""
    t = where(x < -105.0, -105.0, x)
    r, more, exponent = _reduced(t)
    sum_ = r + 1.0
    y = sum_ + (more + (r - (sum_ - 1.0)))  # r - (sum - 1) is the rounding error of the sum
    # A denormal result is computed with a larger exponent and then scaled by a power of two.
    is_small = t < -87.0
    y = bits(y, I32) + exponent
    y = bits(where(is_small, y + (64 << 23), y), F32)
    y = where(is_small, y * 2.0**-64, y)
    return where(x <= 88.72283, y, x + math.inf)  # largest argument; NaN stays NaN


def tanh(x: Any) -> Any:
    """Compute the hyperbolic tangent, in single precision."""
    size = absolute(x)
    size = where(size > 10.0, 10.0, size)
    z = size * size
    p = polynomial(
        z, -0.333333283662796, 0.1333319991827011, -0.05395309627056122, 0.02178473025560379,
        -0.008595111779868603, 0.00307859038002789, -0.0008411348680965602, 0.00012147014058427885,
    )  # fmt: skip
    small = fma(size * z, p, size)
    # For |x| >= 1: 1 - 2 / (exp(2 |x|) + 1).
    r, more, exponent = _reduced(size + size)
    scale = bits(exponent + (127 << 23), F32)
    large = 1.0 - 2.0 / fma(scale, r + more, scale + 1.0)
    return _with_sign(where(size < 1.0, small, large), x)


def _expm1_and_scale(x: Any) -> tuple[Any, Any]:
    """Return ``expm1(r)`` and ``2**n`` of float64 x, where ``x = n log(2) + r``."""
    shifted = fma(x, 1 / _LOG_2, _MAGIC64)  # the last bits are n
    r = fma(shifted - _MAGIC64, -_LOG_2, x)
    scale = bits((bits(shifted, I64) << 52) + (1023 << 52), F64)
    return fma(r * polynomial(r, *_EXPM1), r, r), scale


def _exp64(x: Any) -> Any:
    """Compute the exponential of float64 with float32 accuracy."""
    fraction, scale = _expm1_and_scale(x)
    return fma(scale, fraction, scale)


def expm1(x: Any) -> Any:
    """Compute ``exp(x) - 1``, accurate also for small x."""
    fraction, scale = _expm1_and_scale(double(_limited(x, -105.0, 89.0)))
    y = single(fma(scale, fraction, scale - 1.0))
    return where(x == 0.0, x, y)  # -0 stays -0


# ---------------------------------------------------------------- log and related functions


_THREE_QUARTERS = 0x3F400000  # bits of 0.75


def _log_sum(n: Any, f: Any) -> Any:
    """Return ``n log(2) + log(1 + f)``, where ``-1/4 <= f < 1/2``."""
    p = polynomial(
        f, 0.33333340287208557, -0.2500016391277313, 0.19999605417251587, -0.16655296087265015,
        0.14276240766048431, -0.12727785110473633, 0.11700654029846191, -0.09116142243146896,
        0.037672463804483414,
    )  # fmt: skip
    # n log(2) + (f - f**2 / 2 + f**3 p), plus the rounding error of the sum of its two large terms.
    z = f * f
    more = fma(n, _LOG_2_LOW, fma(f * z, p, z * -0.5))
    large = n * _LOG_2_HIGH
    sum_ = large + f
    return sum_ + (f - (sum_ - large) + more)


def _log_at_ends(x: Any, y: Any) -> Any:
    """Return y, or the logarithm of x if x is not a positive finite number."""
    y = where(x < math.inf, y, x)  # infinity and NaN
    return where(x == 0.0, -math.inf, where(x < 0.0, math.nan, y))


def log(x: Any) -> Any:
    """Compute the natural logarithm, in single precision."""
    is_denormal = x < 2.0**-126
    word = bits(where(is_denormal, x * 2.0**23, x), I32) - _THREE_QUARTERS
    n = single(word >> 23)
    n = where(is_denormal, n - 23.0, n)
    f = bits((word & 0x7FFFFF) + _THREE_QUARTERS, F32) - 1.0
    return _log_at_ends(x, _log_sum(n, f))


def log1p(x: Any) -> Any:
    """Compute ``log(1 + x)``, accurate also for small x, in single precision."""
    whole = x + 1.0
    word = bits(whole, I32) - _THREE_QUARTERS
    scale = bits(0x3F800000 - (word & (-1 << 23)), F32)  # 2**-n
    # (1 + x) / 2**n - 1 without the rounding error of 1 + x, which is negligible for large x.
    f = bits((word & 0x7FFFFF) + _THREE_QUARTERS, F32) - 1.0
    f = where(x < 2.0**24, fma(x, scale, scale - 1.0), f)
    y = _log_at_ends(whole, _log_sum(single(word >> 23), f))
    return where(x == 0.0, x, y)  # -0 stays -0


def _log64(x: Any) -> Any:
    """Compute the logarithm of float64 x >= 0, with more than float32 accuracy."""
    n = (high_half(x) - 0x3FE6A09E) >> 20  # upper bits of sqrt(1/2)
    f = fma(x, from_high_half((1023 - n) << 20), -1.0)
    s = f / (f + 2.0)
    z = s * s
    p = polynomial(
        z, 0.6666666564509184, 0.4000033527955309, 0.2853730253754721, 0.23582271905042443
    )
    y = fma(double(n), _LOG_2, fma(s * z, p, s + s))
    y = where(x < math.inf, y, x)  # infinity and NaN
    return where(x == 0.0, -math.inf, y)


def power(x: Any, y: Any) -> Any:
    """Compute ``x**y``, with the special cases of NumPy and C."""
    a, b = double(x), double(y)
    size = absolute(a)
    result = _exp64(_limited(_log64(size) * b, -700.0, 700.0))
    half = b * 0.5
    is_whole = floor(b) == b
    is_odd = is_whole & (floor(half) != half)
    result = where((high_half(a) < 0) & is_odd, -result, result)
    result = where((a < 0.0) & (size < math.inf) & ~is_whole, math.nan, result)
    is_one = (a == 1.0) | (b == 0.0) | ((a == -1.0) & (absolute(b) == math.inf))
    return single(where(is_one, 1.0, result))


# ---------------------------------------------------------------- error function


def _erfc64(t: Any) -> Any:
    """Compute ``1 - erf(t)`` of float64 t >= 0, with float32 accuracy."""
    inverse = 1.0 / (t + 2.5)
    p = polynomial(
        (t - 2.5) * inverse,
        1.0540318187349176, -0.8046518307889069, 0.4539142721621027, -0.17125181560784267,
        0.028358875594155075, 0.0083990038076202, -0.004800931531390334, -0.0004569254869880265,
        0.0006486979268133625, 6.855429905555261e-05, -4.575135117836047e-05,
    )  # fmt: skip
    return _exp64(-t * t) * p * inverse


def erf(x: Any) -> Any:
    """Compute the error function."""
    t = double(_limited(absolute(x), 0.0, 11.0))
    small = t * polynomial(
        t * t, 1.128379165567336, -0.3761260857271993, 0.11282822807466239, -0.026757184116341957,
        0.004717989767459837,
    )  # fmt: skip
    return _with_sign(single(where(t < 0.5, small, 1.0 - _erfc64(t))), x)


def erfc(x: Any) -> Any:
    """Compute the complementary error function, ``1 - erf(x)``."""
    y = _erfc64(double(_limited(absolute(x), 0.0, 11.0)))
    return single(where(double(x) < 0.0, 2.0 - y, y))

"""Results of float32 models are bit-identical on every x86-64 processor with AVX2 and FMA."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinynet
from benchmarks.contenders import only_avx2
from tests import random_programs
from tests.internals import ROOT, printed, test_thread_pool
from tinynet import config, functional
from tinynet.kernels.numba_functions import COMPILES, FEATURES
from tinynet.optimizers import schedules

#: Seeds of random programs.
SEEDS = range(25)
PROCESSORS = {"this machine": {}, "AVX2": only_avx2(), "znver4": {"NUMBA_CPU_NAME": "znver4"}}
#: Processors for which kernels are compiled, but whose results may differ.
OLD = {
    "x86-64": "+sse2,-sse3,-sse4.1,-avx,-avx2,-fma,-avx512f",
    "nehalem": "+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,-avx,-avx2,-fma,-avx512f",
}
README = re.search(r"```\n(Training .*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)

needs_avx2 = pytest.mark.skipif(
    not COMPILES
    or platform.machine() != "x86_64"
    or not {"+avx2", "+fma"} <= {*FEATURES.split(",")}
    or config.backend() != "numba",
    reason="needs an x86-64 processor with AVX2 and FMA, and compiled kernels",
)


def digest(arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()[:16]


def digests(threads: int) -> dict[str, Any]:
    """Train networks and random programs; return checksums of their final states."""
    found = {}
    for name, network in test_thread_pool.NETWORKS.items():
        found[name] = test_thread_pool.fit(*network[:2], threads, network[2])
    for seed in SEEDS:
        program = random_programs.draw(seed, dropout=True)
        if "gradient_accumulation_steps" in program.optimizer[1]:
            continue  # gradient accumulation runs in NumPy, which is not bit-identical
        tinynet.utils.set_random_seed(1)
        run = program.run(tinynet, "float32")
        slots = [v.numpy() for v in run["model"].optimizer.variables]
        found[f"program {seed}"] = digest([*run["weights"], *slots, run["predict"]])
    return found


def computed(environment: dict[str, str], program: str, *arguments: str) -> Any:
    """Run a program with environment variables that restrict CPU features; return its JSON."""
    return json.loads(printed(program, *arguments, **environment))


def on(environment: dict[str, str], threads: int) -> Any:
    program = (
        "import json, sys; from tests import test_bits;"
        "print(json.dumps(test_bits.digests(int(sys.argv[1]))))"
    )
    return computed(environment, program, str(threads))


@needs_avx2
@pytest.mark.slow
def test_networks_bit_identical_on_all_processors() -> None:
    expected = on({}, 1)
    for name, environment in PROCESSORS.items():
        for threads in (1, 2):
            found = on(environment, threads)
            wrong = [key for key in expected if found[key] != expected[key]]
            assert not wrong, f"{name}, {threads} threads: {wrong}"


TRAIN = """
import contextlib, io, json, sys, tinynet
from tinynet import cli
tinynet.config.set_num_threads(int(sys.argv[1]))
written = io.StringIO()
with contextlib.redirect_stdout(written):
    assert cli.main(["train", "--data", "mnist", "--no-plots", "--out", sys.argv[2]]) == 0
print(json.dumps(written.getvalue()))
"""


@needs_avx2
@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_main_network_prints_output_in_readme(name: str, mnist: Any, tmp_path: Path) -> None:
    """Also the SHA-256 of the weights; the README leaves out text where it has three dots."""
    assert README is not None
    expected = re.escape(README[1]).replace(re.escape("..."), ".*")
    for threads in "12" if name == "AVX2" else "1":
        output = computed(PROCESSORS[name], TRAIN, threads, str(tmp_path))
        assert re.fullmatch(expected, output, re.S), output


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 processor")
@pytest.mark.parametrize("name", OLD)
def test_kernels_are_correct_without_avx2(name: str) -> None:
    program = (
        "import json, numpy as np; from tests import test_bits;"
        "from tinynet.kernels import object_code, row; from tinynet.program import machine;"
        "[machine.kernel_named(f) for f in ('chain', 'copy_elements')];"
        "object_code.addresses(k for k in row.KERNELS.values() if object_code.is_kept(k));"
        "print(json.dumps(test_bits.agreement()))"
    )
    environment = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": OLD[name]}
    assert computed(environment, program) == []


def agreement() -> list[str]:
    """Return the seeds and errors of random programs whose results differ between backends."""
    wrong = []
    for seed in SEEDS:
        try:
            random_programs.check("backends", seed)
        except AssertionError as error:
            wrong.append(f"{seed}: {error}")
    return wrong


# ------------------------------------------------------------ computations outside of the kernels


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.96, 0.95, 0.99])
def test_powers_are_library_independent(beta: float) -> None:
    """Powers are computed in float64 and rounded to float32.

    Errors in the last two bits of float64 do not change the result.
    """
    steps = np.arange(1, 100_001)
    base = np.longdouble(np.float32(beta))
    exact = np.power(base, steps.astype(np.longdouble))
    power = functional.optimizers.rounded_power(beta, steps, np.float32)
    for error in (-4.5e-16, 4.5e-16):
        np.testing.assert_array_equal((exact * (1 + np.longdouble(error))).astype("f4"), power)


def test_schedules_are_rounded_from_float64() -> None:
    rate = schedules.CosineDecay(1.0, 1000)
    for step in (1, 333, 500, 999):
        angle = float(np.float32(np.pi) * (np.float32(step) / np.float32(1000)))
        share = np.float32(0.5) * (np.float32(1) + np.float32(np.cos(np.longdouble(angle))))
        assert rate(step) == share
    power = np.power(np.longdouble(np.float32(0.9)), np.longdouble(np.float32(7) / np.float32(3)))
    assert schedules.ExponentialDecay(1.0, 3, 0.9)(7) == np.float32(power)
    rest = np.longdouble(np.float32(1) - np.float32(2) / np.float32(7))
    wanted = np.float32(np.sqrt(rest)) * np.float32(1)
    assert schedules.PolynomialDecay(1.0, 7, 0.0, 0.5)(2) == wanted


STARTS = """
import hashlib, json, numpy as np, tinynet
from tinynet import initializers, random
from tinynet.datasets import drawn_digits
found = {}
for name in ("GlorotUniform", "GlorotNormal", "HeNormal", "LecunUniform", "RandomNormal",
             "TruncatedNormal", "RandomUniform"):
    made = getattr(initializers, name)(seed=3)((784, 128))
    found[name] = hashlib.sha256(np.asarray(made, "<f4").tobytes()).hexdigest()
rng = np.random.default_rng(0)
pixels = np.divide(rng.integers(0, 256, 10_000, np.uint8), np.float32(255), dtype=np.float32)
order = rng.permutation(60_000)
(x, y), _ = drawn_digits.load_data(200, 10)
for name, array in {"pixels": pixels, "order": order, "synthetic digits": x, "labels": y}.items():
    found[name] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_initial_state_identical_without_avx512() -> None:
    everything = " ".join(np.show_config(mode="dicts")["SIMD Extensions"]["found"])
    few = {"NPY_DISABLE_CPU_FEATURES": everything, "OPENBLAS_CORETYPE": "Prescott"}
    expected = computed({}, STARTS)
    for environment in (only_avx2(), few):
        assert computed(environment, STARTS) == expected

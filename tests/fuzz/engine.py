"""One process of a fuzzing run: each input is loaded, and must respect the limits.

With Atheris, libFuzzer keeps the inputs that reach new code, and mutates those. Without it, the
files of the corpus are mutated at random.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import random
import resource
import time
import warnings
from pathlib import Path
from typing import Any

from tests.fuzz import corpus, mutators

#: Limits for one input: CPU seconds, and bytes of memory in addition to three times its size.
SECONDS, MEMORY = 1.0, 32 << 20
#: Limit of the address space in addition to that of the process, in bytes. Arrays that are never
#: filled count too.
ADDRESSES = 1 << 29


_STATM = os.open("/proc/self/statm", os.O_RDONLY)


def statm(field: int) -> int:
    """Return the size of the address space (0) or of the memory in use (1), in bytes."""
    return int(os.pread(_STATM, 100, 0).split()[field]) * resource.getpagesize()


def peak() -> int:
    """Return the largest memory that the process has used, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


class Judge:
    """Check of an input: return "rejected" or "loaded", or raise AssertionError.

    `folder` is for the file of the current input, which remains there if the process crashes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        from tests.fuzz import formats

        self.format = formats.FORMATS[name]
        self.path = folder / f"input{self.format.suffix}"
        valid = folder / f"valid{self.format.suffix}"
        for seed in self.format.seeds():  # import modules that a reader imports when it needs them
            valid.write_bytes(seed)
            self.format.use(self.format.load(valid))
        self.originals = {}
        for seed in self.format.checked():
            valid.write_bytes(seed)
            self.originals[seed] = contents(self.format.load(valid))
        self.flipped: tuple[Any, Any] = (None, None)
        self.highest = peak()

    def mutate(self, data: bytes, rng: random.Random, havoc: mutators.Havoc) -> bytes:
        """Change an input; sometimes, flip a single bit of a valid file with checksums instead."""
        if self.originals and rng.random() < 0.1:
            seed, expected = rng.choice([*self.originals.items()])
            self.flipped = mutators.flip(seed, rng), expected
            return self.flipped[0]
        return self.format.mutate(data, rng, havoc)[: self.format.longest]

    def __call__(self, data: bytes) -> str:
        from tests.internals import readers
        from tinynet._core import registry

        registry.clear_names()
        self.path.write_bytes(data)
        before, stream = readers.global_state(), readers.random_state()
        used, began = statm(1), time.process_time()
        try:
            loaded, outcome = self.format.load(self.path), "loaded"
        except ValueError as error:
            loaded, outcome = None, "rejected"
            self.check_message(str(error))
            drawn = readers.random_state() != stream
            assert not drawn, "a rejected file changed the global random state"
        seconds, most = time.process_time() - began, peak()
        if most > self.highest:  # only then the peak is due to this input
            excess = most - used - 3 * len(data)
            assert excess < MEMORY, f"loading took {excess >> 20} MiB more than three files"
        if seconds >= SECONDS:  # measured again, because other processes may have taken the memory
            seconds = min(seconds, self.seconds_to_load())
        assert seconds < SECONDS, f"loading took {seconds:.1f} s"
        if outcome == "loaded":
            self.format.use(loaded)
            if data == self.flipped[0]:
                assert contents(loaded) == self.flipped[1], "a flipped bit changed the model"
        self.highest = peak()
        assert readers.global_state() == before, "loading changed global state"
        return outcome

    def seconds_to_load(self) -> float:
        """Return the CPU time of loading the input again."""
        began = time.process_time()
        with contextlib.suppress(ValueError):
            self.format.load(self.path)
        return time.process_time() - began

    def check_message(self, message: str) -> None:
        """Assert that a message is meant for users: it names the file and is short."""
        assert self.path.name in message, f"a message without the name of the file: {message}"
        assert len(message) < 2000, f"a long message: {message}"
        for word in ("MemoryError", "allow_pickle"):
            assert word not in message, message


def contents(model: Any) -> Any:
    """Return the configuration and the state of a model, to compare models."""
    from tests import models

    return model.to_json(), models.bits(model)


def prepared(name: str, folder: Path) -> Judge:
    """Prepare the process, and return the check of inputs."""
    import tinynet

    tinynet.config.set_backend("numpy")
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "The optimizer state", UserWarning)  # is not loaded
    judge = Judge(name, folder)
    gc.freeze()
    resource.setrlimit(resource.RLIMIT_AS, (statm(0) + ADDRESSES, resource.RLIM_INFINITY))
    return judge


def fill(options: argparse.Namespace, judge: Judge) -> None:
    """Put the committed corpus and the valid files of a format into a folder, with ``--fill``."""
    files = [*corpus.read(options.format).values(), *judge.format.seeds()]
    for i, data in enumerate(files if options.fill else []):
        (options.corpus / f"start-{i:03}").write_bytes(data)


def fuzz_with_coverage(options: argparse.Namespace) -> None:
    """Run libFuzzer, which ends the process."""
    import atheris

    # Kernels are excluded, because Numba compiles their bytecode.
    with atheris.instrument_imports(include=["tinynet"], exclude=["tinynet.kernels"]):
        judge = prepared(options.format, options.folder)
    fill(options, judge)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        def havoc(part: bytes) -> bytes:
            return atheris.Mutate(part, max(2 * len(part), 64))  # type: ignore[no-any-return]

        return judge.mutate(data, random.Random(seed), havoc)[:longest]

    executed, most = 0, statm(1) + ADDRESSES // 2

    def check(data: bytes) -> None:
        nonlocal executed
        judge(data)
        executed += 1
        if statm(1) > most:  # Atheris keeps the result of each comparison of arrays
            print(f"stat::number_of_executed_units: {executed}", flush=True)
            os._exit(0)  # another process continues

    limits = {"runs": options.inputs, "max_total_time": options.seconds, "timeout": 60}
    limits |= {"seed": options.seed % 2**31 + 1, "max_len": judge.format.longest}
    limits |= {"rss_limit_mb": 4096, "reload": 0, "len_control": 0, "print_final_stats": 1}
    limits |= {"use_value_profile": int(judge.format.compares), "entropic_scale_per_exec_time": 1}
    arguments = [f"-{key}={value}" for key, value in limits.items()]
    command = ["fuzz", *arguments, f"-artifact_prefix={options.folder}/", str(options.corpus)]
    atheris.Setup(command, check, custom_mutator=mutate)
    atheris.Fuzz()


def fuzz_at_random(options: argparse.Namespace) -> None:
    """Mutate files of the corpus."""
    judge = prepared(options.format, options.folder)
    fill(options, judge)
    files = [path.read_bytes() for path in sorted(options.corpus.iterdir())]
    rng, end = random.Random(options.seed), time.monotonic() + options.seconds
    for number in range(1, options.inputs + 1):
        data = rng.choice(files)
        for _ in range(rng.choice([1, 1, 2, 4])):
            data = judge.mutate(data, rng, lambda part: mutators.overwrite(part, rng))
        judge(data)
        last = number == options.inputs or time.monotonic() > end
        if last or number % 1000 == 0:
            print(f"#{number} corp: {len(files)}", flush=True)
        if last:
            break


def main() -> None:
    """Run a process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("format")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpus", type=Path)
    for name in ("inputs", "seconds", "seed"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("random", "fill"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    (fuzz_at_random if options.random else fuzz_with_coverage)(options)


if __name__ == "__main__":
    main()

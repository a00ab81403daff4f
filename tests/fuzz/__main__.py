"""Run fuzzers: ``python -m tests.fuzz --format idx --inputs 10000000``.

Each input must load as a value that works, or raise ValueError with a message that names the file,
in one second and with little memory; see `engine.Judge`. Atheris searches for inputs that reach new
code: ``pip install -e '.[fuzz]'``. Without it, inputs are mutated at random.

The inputs that reach new code are kept in ``FOLDER/corpus``, and a later run starts with them. Each
input that fails is kept in ``FOLDER/failures``, with the error message. The results are added to
``tests/fuzzing.json`` during the run; with ``--resume``, a run continues one that was interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import secrets
import signal
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

from benchmarks.result_files import output_folder, positive
from tests.fuzz import FORMATS, results

#: Seconds after which a new process continues.
ROUND = 600
#: Number of failures after which a run ends.
MOST_FAILURES = 200
STATUS = re.compile(r"#(\d+)\s.*?(?:cov: (\d+) )?(?:ft: (\d+) )?corp: (\d+)")
EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")
ERROR = re.compile(r"Uncaught Python exception: ===\n(.*)|ERROR: libFuzzer: (.*)")


class Fuzzer:
    """A run for one format, in one process after the other."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name, self.seed, self.stopped = name, options.seed, 0  # number of a signal
        self.random = options.random or importlib.util.find_spec("atheris") is None
        self.done, self.crashes, self.found = 0, 0, dict[str, int]()
        self.failures = set[bytes]()
        self.written = time.monotonic()
        self.corpus = options.folder / "corpus" / name
        self.failed = options.folder / "failures" / name
        for folder in (self.corpus, self.failed):
            folder.mkdir(parents=True, exist_ok=True)
        self.run = results.Run(options.results, name, options.seed)

    def fuzz(self, inputs: int) -> None:
        """Test a number of inputs."""
        while self.done < inputs and not self.stopped and self.crashes < MOST_FAILURES:
            self.process(inputs - self.done)

    def process(self, inputs: int) -> None:
        """Test inputs in a new process."""
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            command = [sys.executable, "-m", "tests.fuzz.engine", self.name, folder]
            command += [f"--inputs={inputs}", f"--corpus={self.corpus}", f"--seconds={ROUND}"]
            command += [f"--seed={self.seed + self.done + self.crashes}"]
            command += [*["--random"] * self.random, *["--fill"] * (self.done + self.crashes == 0)]
            process = Popen(command, stdout=PIPE, stderr=STDOUT, text=True, errors="replace")

            def stop(number: int, *_: Any) -> None:
                self.stopped = number
                process.terminate()

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            begun, last = self.done, deque[str](maxlen=200)
            assert process.stdout is not None
            for line in process.stdout:
                if found := STATUS.match(line):
                    names = ("edges", "features", "corpus")
                    numbers = zip(names, found.groups()[1:], strict=True)
                    self.found |= {key: int(n) for key, n in numbers if n}
                elif not (found := EXECUTED.match(line)):
                    last.append(line)
                if found:
                    self.done = begun + int(found[1])
                    if time.monotonic() - self.written > 10:
                        self.record()
            if process.wait() and not self.stopped:
                self.keep(Path(folder), "".join(last), process.returncode)
        self.record()
        reached = ", ".join(f"{n:,} {key}" for key, n in self.found.items())
        failures = f"{len(self.failures):,} failures"
        seconds = f"{self.run.results['seconds']:,} s"
        print(f"{self.name}: {self.done:,} inputs, {reached}, {failures}, {seconds}", flush=True)

    def record(self) -> None:
        """Write the results until now."""
        self.run.update(inputs=self.done, **self.found, failures=len(self.failures))
        self.written = time.monotonic()

    def keep(self, folder: Path, text: str, code: int) -> None:
        """Keep the input that failed, and the error message; remove it from the corpus."""
        files = [*folder.glob("*-*")] or [*folder.glob("input*")]
        if not files:
            raise SystemExit(f"{text}\nThe process failed before the first input.")
        error = ERROR.search(text)
        reason = (error[1] or error[2]) if error else f"exit code {code}"
        self.crashes += 1
        for path in files:
            data = path.read_bytes()
            self.failures.add(data)
            kind, digest = path.stem.partition("-")[0], hashlib.sha1(data).hexdigest()
            kept = self.failed / f"{kind}-{digest}{path.suffix}"
            kept.write_bytes(data)
            kept.with_name(f"{kept.name}.txt").write_text(text)
            print(f"{self.name}: {reason}\n  input: {kept}", flush=True)
            for member in self.corpus.iterdir():
                if member.read_bytes() == data:
                    member.unlink()


def main(arguments: list[str] | None = None) -> int:
    """Run fuzzers; return 1 if an input failed, or 128 plus the number of a signal.

    With ``--resume``, the recorded failures count, too.
    """
    summary, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser("python -m tests.fuzz", None, summary, more)
    parser.add_argument("--format", choices=[*FORMATS, "all"], default="all", help="file format")
    parser.add_argument("--inputs", type=positive, default=10_000, help="inputs per format")
    parser.add_argument("--random", action="store_true", help="do not use Atheris")
    parser.add_argument("--folder", type=output_folder, default=".fuzz", help="for its files")
    results.add_arguments(parser)
    options = parser.parse_args(arguments)
    options.seed = secrets.randbelow(2**30) if options.seed is None else options.seed
    print(f"seed {options.seed}")
    failed = 0
    for name in FORMATS if options.format == "all" else [options.format]:
        fuzzer = Fuzzer(name, options)
        done = results.total(name, options.results) if options.resume else 0
        failed += results.total(name, options.results, "failures") if options.resume else 0
        fuzzer.fuzz(options.inputs - done)
        failed += len(fuzzer.failures)
        if fuzzer.stopped:
            return 128 + fuzzer.stopped
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

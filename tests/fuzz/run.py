"""Run random cases for some minutes.

    python tests/fuzz/run.py TARGET --minutes N --seed S

TARGET is jsonl, parquet, arrow, unpad, options, or all. Each case runs in a process that may crash.
Files that led to a new message are mutated further. With --guided, which requires atheris, branch
coverage of the Python code selects the files. The native code of Arrow is not instrumented.
Cases that violate the contract are saved in a folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve()
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

from fuzz.cases import draw, seeds_of  # noqa: E402
from fuzz.contract import Case, Outcome, fill, judged  # noqa: E402
from fuzz.wire import line_of_case  # noqa: E402
from fuzz.worker import Answer, Worker, scratch  # noqa: E402

TARGETS = ("jsonl", "parquet", "arrow", "unpad", "options")
MOST_KEPT = 3000
GUARDED_SECONDS = 60


@dataclass
class Tally:
    """The cases that ran, and their results."""

    keep: Path
    executions: int = 0
    crashes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case, found: tuple[str, ...]) -> None:
        """Count a case, and save the first cases of each failure."""
        self.executions += 1
        for problem in found:
            kind = normal(problem.splitlines()[0])[:160]
            self.failures[kind] += 1
            if self.failures[kind] <= 3:
                save(case, problem, self.keep)


def normal(said: str) -> str:
    """Remove the parts of a message that differ between cases."""
    said = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "'...'", said)
    return re.sub(r"-?[0-9][0-9.e+]*", "N", said)


def save(case: Case, problem: str, keep: Path) -> None:
    """Save a case as a folder with its files, its command line and its problems."""
    line = line_of_case(case)
    name = hashlib.sha256(line).hexdigest()[:12]
    folder = keep / name
    folder.mkdir(parents=True, exist_ok=True)
    fill(folder, case.files)
    (folder / "case.json").write_bytes(line)
    (folder / "case.txt").write_text(f"padmask {shlex.join(case.args)}\n{problem}\n", errors="replace")


def guarded(case: Case) -> tuple[str, ...]:
    """Run a case as a user would, with the guard process. Return the violations of the contract."""
    with tempfile.TemporaryDirectory(dir=scratch()) as name:
        folder = Path(name)
        fill(folder, case.files)
        path = os.pathsep.join([str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")])
        try:
            done = subprocess.run(
                [sys.executable, "-m", "padmask", *case.args],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GUARDED_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return (f"more than {GUARDED_SECONDS} seconds",)
        files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        said = done.stderr.decode("utf-8", "replace")
        # Do not read the rows again, because the other reader may have crashed the process.
        return tuple(judged(replace(case, asked=None), Outcome(done.returncode, done.stdout, said, files)))


def random_run(target: str, end: float, random: Random, tally: Tally) -> None:
    """Run random cases until the time `end`. Files that led to a new message are mutated again."""
    pool = [] if target == "options" else list(seeds_of(target))
    seen: set[str] = set()
    with Worker() as worker:
        while time.monotonic() < end:
            case = draw(random, target, pool)
            answer = worker.run(case)
            found = answer.problems
            if answer.died and not found:
                tally.crashes += 1
                save(case, f"native crash: {answer.died}", tally.keep / "crashes")
                found = guarded(case)
            tally.add(case, found)
            answered = _kind_of(case, answer)
            tally.codes[answered.split(" ", 1)[0]] += 1
            if answered not in seen and case.source and len(pool) < MOST_KEPT:
                seen.add(answered)
                pool.append(case.files[case.source])


def _kind_of(case: Case, answer: Answer) -> str:
    if answer.outcome is None:
        return answer.died
    return f"{answer.outcome.code} {case.asked and case.asked.output} {normal(answer.outcome.said)[:200]}"


def guided_run(target: str, seconds: float, seed: int, tally: Tally) -> None:
    """Let atheris generate cases by branch coverage, and end the process."""
    import atheris

    with atheris.instrument_imports(include=["padmask"]):
        import padmask.cli
        import padmask.cli.inspect
        import padmask.cli.pad
        import padmask.cli.unpad
        import padmask.cli.verify
        import padmask.formats.arrow
        import padmask.formats.jsonl.reader
        import padmask.formats.parquet
        import padmask.render.report
        import padmask.stream.pad
        import padmask.stream.unpad  # noqa: F401

    from fuzz.cases import asked, case_of, kind_of, option_case, unpad_case_of
    from fuzz.contract import problems
    from fuzz.mutate import mutate

    folder = Path(tempfile.mkdtemp(dir=scratch()))
    pool = [b""] * 8 if target == "options" else seeds_of(target)
    start = time.monotonic()

    def case_from(data: bytes) -> Case:
        random = Random(int.from_bytes(data[:4], "little"))
        if target == "options":
            return option_case(random)
        if target == "unpad":
            return unpad_case_of(random, data[4:], kind_of(data[4:]))
        return case_of(data[4:], asked(random, target))

    def one(data: bytes) -> None:
        case = case_from(data)
        outcome, found = problems(case, folder)
        tally.codes[str(outcome.code)] += 1
        tally.add(case, tuple(found))
        if time.monotonic() - start > seconds:
            print_tally(tally, target, time.monotonic() - start)
            os._exit(1 if tally.failures else 0)

    def change(data: bytes, most: int, number: int) -> bytes:
        random = Random(number)
        if random.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        head = data[:4] if random.random() < 0.6 else random.randbytes(4)
        kind = kind_of(data[4:]) if target == "unpad" else target
        alike = [other for other in pool if target != "unpad" or kind_of(other) == kind]
        return (head + mutate(random, data[4:], kind, alike))[:most]

    corpus = Path(tempfile.mkdtemp(dir=scratch()))
    for i, data in enumerate(pool):
        (corpus / str(i)).write_bytes(i.to_bytes(4, "little") + data)
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-seed={seed}",
        "-max_len=20000",
        "-timeout=60",
        "-rss_limit_mb=6000",
    ]
    if target != "options":
        atheris.Setup([*arguments, "-verbosity=0"], one, custom_mutator=change)
    else:
        atheris.Setup([*arguments, "-verbosity=0"], one)
    atheris.Fuzz()


def print_tally(tally: Tally, target: str, seconds: float) -> None:
    for kind, times in tally.failures.most_common():
        print(f"  {times:6} {kind}")
    codes = ", ".join(f"{code}: {times:,}" for code, times in tally.codes.most_common())
    print(
        f"{target}: {tally.executions:,} executions, {sum(tally.failures.values()):,} failures of "
        f"{len(tally.failures)} kinds, {tally.crashes} native crashes, {seconds:.0f} seconds "
        f"(exit codes {codes})",
        flush=True,
    )


def main() -> int:
    """Run the requested targets. Return 0 if no case violates the contract."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--minutes", type=float, default=1.0, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for failures")
    parser.add_argument("--guided", action="store_true", help="by branches, with atheris")
    given = parser.parse_args()
    failed = False
    for target in TARGETS if given.target == "all" else (given.target,):
        tally = Tally(given.keep.resolve() / target)
        if given.guided:
            guided_run(target, 60 * given.minutes, given.seed, tally)
        start = time.monotonic()
        random_run(target, start + 60 * given.minutes, Random(given.seed), tally)
        print_tally(tally, target, time.monotonic() - start)
        failed = failed or bool(tally.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Compare packing with other tools, and measure how full the rows are and how much memory packing needs.

`python tests/bench/packing.py [--only peers plans memory] [--repeat N] [--write]`

`peers` compares files with other tools. `plans` plans rows from lengths, also for buckets and batches.
`memory` packs up to 10^8 rows, and takes half an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from commands import PADMASK, answer, python, writing
from measure import Cost, Pair, by_turns, run
from pack_peers import PACK_PEERS
from peers import result_of
from report import mebibytes, section
from targets import (
    BATCHES,
    BUCKETS,
    CAPPED,
    GRAIN,
    IN_ORDER,
    PACK,
    PACK_MEMORY,
    PACK_MEMORY_MAXLEN,
    PACK_TARGETS,
    PAD,
    PLAN_TARGETS,
    READ_AND_WRITE,
    TRL,
    PlanTarget,
    Target,
    verdict,
    verdict_at_least,
)

PEER_COLUMNS = [
    "rows",
    "against",
    "padmask, s",
    "other, s",
    "wall ratio",
    "wall target",
    "CPU ratio",
    "CPU target",
    "without start-up",
    "peak, MiB",
    "output, MiB",
    "full, %",
    "above the bound, %",
]
PLAN_COLUMNS = [
    "lengths",
    "command",
    "CPU, s",
    "CPU target",
    "full, %",
    "full target",
    "above the bound, %",
    "bound target",
    "most in a row",
]
MEMORY_COLUMNS = ["rows", "maxlen", "tokens", "wall, s", "CPU, s", "10^6 tokens/CPU s", "peak, MiB", "target"]


@dataclass(frozen=True)
class Corpus:
    """Rows with log-normal lengths.

    Args:
        mean: mean of the distribution, in tokens, before lengths above `maxlen` become `maxlen`.
        maxlen: longest length, and length of the packed rows.
        rows: number of rows.
    """

    mean: int
    maxlen: int
    rows: int

    @property
    def name(self) -> str:
        return f"{self.rows:,} of mean {self.mean}"

    def write(self, path: Path) -> int:
        """Write the rows to a file, and return the number of tokens."""
        return answer(python("data.py", f"{self.mean}:{self.maxlen}", self.rows, path))[str(path)]


SHORT, LONG = Corpus(70, 1_024, 1_000_000), Corpus(700, 2_048, 100_000)
# grain packs less than 2,000 rows a second.
FEW_SHORT, FEW_LONG = Corpus(70, 1_024, 50_000), Corpus(700, 2_048, 10_000)
COMPARED = {
    TRL: (SHORT, LONG),
    GRAIN: (FEW_SHORT, FEW_LONG),
    READ_AND_WRITE: (SHORT, LONG),
}
PLANNED = (Corpus(70, 1_024, 1_000_000), Corpus(700, 2_048, 1_000_000))
PLAN_WAYS = (PAD, BUCKETS, BATCHES, PACK, CAPPED, IN_ORDER)
# Rows with 7 tokens show the memory per row, and long rows the memory per token.
GROWING = (
    Corpus(7, 128, 10**6),
    Corpus(7, 128, 10**7),
    Corpus(7, 128, 10**8),
    Corpus(70, 1_024, 10**6),
    Corpus(700, 8_192, 10**5),
    Corpus(700, 8_192, 10**6),
    Corpus(5_000, 32_768, 50_000),
    Corpus(20_000, 131_072, 12_500),
)


def pack(source: Path, destination: Path, maxlen: int, *options: str) -> list[str]:
    """Return the command that packs a file."""
    return [
        *PADMASK,
        "pack",
        str(source),
        "-o",
        str(destination),
        "--maxlen",
        str(maxlen),
        "--quiet",
        *options,
    ]


def compared(repeat: int) -> Iterator[list[str]]:
    """Run padmask and every peer alternately, and yield the lines of the table."""
    for against, (_, dialect, packages) in PACK_PEERS.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            print(f"packing, {against}: skipped, no {' and no '.join(missing)} here", file=sys.stderr)
            continue
        start = None
        for corpus in COMPARED[against]:
            with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
                start = (
                    start
                    or _pair(Path(folder), Corpus(corpus.mean, corpus.maxlen, 10), against, dialect, 1)[0]
                )
                turns = 1 if against == GRAIN else repeat
                pair, sizes, filled = _pair(Path(folder), corpus, against, dialect, turns)
            yield _cells(corpus, against, pair, start, sizes, filled)


def _pair(
    folder: Path, corpus: Corpus, against: str, dialect: str, repeat: int
) -> tuple[Pair, list[int], list[dict[str, float]]]:
    """Return the costs of padmask and a peer, the sizes of their outputs, and how full their rows are."""
    source, ours, theirs = (folder / f"{name}.parquet" for name in ("in", "padmask", "peer"))
    corpus.write(source)
    padmask = writing(pack(source, ours, corpus.maxlen, "--dialect", dialect, "--no-source"), ours)
    padmask()
    run(python("keep.py", ours, result_of(str(source))))
    peer = writing(python("pack_peers.py", against, source, theirs, corpus.maxlen), theirs)
    peer()
    filled = answer(python("check_packed.py", corpus.maxlen, ours, theirs))
    sizes = [path.stat().st_size for path in (ours, theirs)]
    return by_turns(padmask, peer, repeat), sizes, filled


def _cells(
    corpus: Corpus, against: str, pair: Pair, start: Pair, sizes: list[int], filled: list[dict[str, float]]
) -> list[str]:
    target = PACK_TARGETS.get((corpus.mean, against), Target())
    rest = (pair.ours.cpu - start.ours.cpu) / (pair.theirs.cpu - start.theirs.cpu)
    return [
        corpus.name,
        against,
        f"{pair.ours.wall:.2f}",
        f"{pair.theirs.wall:.2f}",
        f"{pair.wall_ratio:.2f}",
        verdict(pair.wall_ratio, target.wall),
        f"{pair.cpu_ratio:.2f}",
        verdict(pair.cpu_ratio, target.cpu),
        f"{rest:.2f}",
        mebibytes([pair.ours.peak, pair.theirs.peak]),
        mebibytes(sizes),
        " / ".join(f"{its['full']:.3f}" for its in filled),
        " / ".join(f"{its['over']:.3f}" for its in filled),
    ]


def planned(repeat: int) -> Iterator[list[str]]:
    """Plan output rows from lengths, and yield the lines of the table."""
    for corpus in PLANNED:
        for way in PLAN_WAYS:
            found = answer(python("plan_lengths.py", way, corpus.mean, corpus.maxlen, corpus.rows, repeat))
            target = PLAN_TARGETS.get((corpus.mean, way), PlanTarget())
            packs = found["over"] is not None
            yield [
                corpus.name,
                f"`{way}`",
                f"{found['cpu']:.2f}",
                verdict(found["cpu"], target.cpu),
                f"{found['full']:.3f}",
                verdict_at_least(found["full"], target.full),
                f"{found['over']:.3f}" if packs else "-",
                verdict(found["over"], target.over) if packs else "-",
                f"{found['most']}" if packs else "-",
            ]


def grown(_: int) -> Iterator[list[str]]:
    """Pack files of growing size once, and yield the lines of the table."""
    for corpus in GROWING:
        with tempfile.TemporaryDirectory(prefix="padmask-bench-") as folder:
            source, destination = Path(folder, "in.parquet"), Path(folder, "out.parquet")
            tokens = corpus.write(source)
            cost = run(pack(source, destination, corpus.maxlen))
        yield _grown_cells(corpus, tokens, cost)


def _grown_cells(corpus: Corpus, tokens: int, cost: Cost) -> list[str]:
    limit = PACK_MEMORY if corpus.maxlen <= PACK_MEMORY_MAXLEN else None
    return [
        corpus.name,
        f"{corpus.maxlen:,}",
        f"{tokens:,}",
        f"{cost.wall:.1f}",
        f"{cost.cpu:.1f}",
        f"{tokens / cost.cpu / 1e6:.1f}",
        mebibytes([cost.peak]),
        verdict(cost.peak / 2**20, limit),
    ]


PARTS = {
    "peers": ("Packing: comparison with other tools", PEER_COLUMNS, compared),
    "plans": ("Plans from lengths", PLAN_COLUMNS, planned),
    "memory": ("Packing: memory", MEMORY_COLUMNS, grown),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3, help="turns of each pair; default 3")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS)[:2], help="some tables only")
    parser.add_argument("--write", action="store_true", help="keep the tables in RESULTS.md")
    options = parser.parse_args()
    for part in options.only:
        title, columns, lines = PARTS[part]
        section(title, columns, lines(options.repeat), options.write)


if __name__ == "__main__":
    main()

"""Measure which models ignore padding, and compare the measurements with the verdicts of `padmask verify`.

    python tests/survey/run.py                      # all parts whose packages are installed
    python tests/survey/run.py --part transformers  # one part
    python tests/survey/run.py --only BERT          # models whose names contain a word
    python tests/survey/run.py --write              # write the measured parts to docs/survey.md

Parts need packages: `transformers` needs transformers and torch, `torch` needs torch, and `keras-hub` needs a
Keras backend and keras-hub (`pip install --no-deps keras-hub && pip install tokenizers kagglehub`).
The exit code is 1 if a verdict differs from a measurement, or if no models were measured.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import logging
import os
import sys
import time

import page
from measure import measure

# Part of the page -> module with the models.
PARTS = {
    "transformers": "hugging_face_models",
    "torch": "torch_models",
    "keras-hub": "keras_hub_models",
}


def run_part(part: str, only: str) -> dict[str, page.Results]:
    """Measure the models of one part, and print each result."""
    found: dict[str, page.Results] = {}
    for name, build in importlib.import_module(PARTS[part]).MODELS.items():
        if only.lower() not in name.lower():
            continue
        found[name] = results = {}
        for side in page.SIDES:
            start = time.process_time()
            results[side] = one = measure(build(), side)
            seconds = time.process_time() - start
            print(
                f"{name} | {page.SIDES[side]} | measured {one.deviation:.1e} {one.measured} | "
                f"{one.verdict} | {one.culprit or ''} | {seconds:.1f} s",
                flush=True,
            )
    return found


def versions(part: str) -> dict[str, str]:
    """Return the versions of the packages of one part."""
    names = ("padmask", *importlib.import_module(PARTS[part]).PACKAGES)
    return {name: importlib.import_module(name).__version__ for name in names}


def missing_package(part: str) -> str | None:
    """Return the name of a package that a part needs and that is not installed."""
    try:
        importlib.import_module(PARTS[part])
    except ModuleNotFoundError as error:
        return error.name
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="part to measure (default: all)")
    parser.add_argument("--only", default="", help="measure only models whose names contain this text")
    parser.add_argument("--write", action="store_true", help="write the results to docs/survey.md")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all models of a part: leave out --only")
    measured, wrong = 0, []
    for part in options.part or PARTS:
        if missing := missing_package(part):
            print(f"{part}: skipped, because the package {missing} is not installed", file=sys.stderr)
            continue
        found = run_part(part, options.only)
        measured += len(found)
        wrong += page.disagreements(found)
        if options.write:
            page.write(part, page.render(found, versions(part), datetime.date.today().isoformat()))
    if not measured:
        sys.exit("no models measured: no such model, or all packages are missing")
    if wrong:
        sys.exit(f"verify disagrees with the measurement: {'; '.join(wrong)}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.disable(logging.WARNING)
    main()

"""Check with many seeds that `padmask verify` reports no leak in correct models.

    python tests/survey/seeds.py                    # all parts whose packages are installed
    python tests/survey/seeds.py --part keras-hub --seeds 3

Each seed draws other weights and other rows. The models ignore padding on the right. Some models cast
internally, so their float64 copies have the rounding errors of float32. The exit code is 1 if a verdict
differs from "ignores", or if no model ran.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys

from run import PARTS, missing_package

from padmask.verify import verify_model

RIGHT_MODELS = {
    "transformers": ("BERT", "Gemma", "Mixtral", "T5", "Mamba 2"),
    "torch": ("LSTM, packed sequence", "TransformerEncoder", "attention pooling, masked"),
    "keras-hub": ("BERT", "BLOOM", "Gemma", "Mixtral", "T5"),
}


def run_model(part: str, name: str, seeds: int) -> list[str]:
    """Return a line for each seed with which the verdict is not "ignores"."""
    build = importlib.import_module(PARTS[part]).MODELS[name]
    wrong = []
    for seed in range(seeds):
        model = build(seed)
        [subject] = verify_model(model.model, seed=seed, **model.options).subjects
        if subject.verdict != "ignores":
            wrong.append(f"{part}, {name}, seed {seed}: {subject.verdict}, {subject.detail}")
    print(f"{part} | {name} | {len(wrong)} of {seeds} wrong", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="part to run (default: all)")
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds for each model")
    options = parser.parse_args()
    runs, wrong = 0, []
    for part in options.part or PARTS:
        if missing := missing_package(part):
            print(f"{part}: skipped, because the package {missing} is not installed", file=sys.stderr)
            continue
        for name in RIGHT_MODELS[part]:
            wrong += run_model(part, name, options.seeds)
            runs += options.seeds
    if not runs:
        sys.exit("no model ran: all packages are missing")
    print(f"{len(wrong)} false alarms in {runs} runs")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.disable(logging.WARNING)
    main()

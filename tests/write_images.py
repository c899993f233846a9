"""Take pictures of HTML reports with Chromium, for the pages in `docs/`, as `make figures` does."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from browser import find_browser, open_browser
from doc_blocks import ROOT, blocks, make_files, run

IMAGES = ROOT / "docs" / "images"

# By the name of the picture: the command that writes the page, the width in pixels, and the parts to show.
PICTURES = {
    "inspect": (
        "padmask inspect sample_data/jargon.jsonl --maxlen 256,p95 --export {}",
        1_240,
        "section:has(#chooser), .charts",
    ),
    "verify": (
        "padmask verify --model model.keras --report html:{}",
        900,
        "section:has(.path) > :first-child, .path + p",
    ),
}


def write_images(folder: Path) -> None:
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    [model] = [block for block in blocks(ROOT / "docs" / "verify.md") if block.mark == "run"]
    make_files(model, folder)
    with open_browser() as browser:
        for name, (command, width, parts) in PICTURES.items():
            run(command.format(f"{name}.html"), folder)
            browser.open(f"file://{folder}/{name}.html", width)
            browser.screenshot(IMAGES / f"{name}.png", parts)
            assert (IMAGES / f"{name}.png").stat().st_size < 150_000


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if find_browser() is None:
        raise SystemExit("Chromium is not installed. On Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name))

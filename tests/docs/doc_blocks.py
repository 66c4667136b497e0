"""The code blocks of the documentation, and what the comment above each says about it.

<!-- run -->                  python or console: runs, in the page's order, in one folder
<!-- file: NAME -->           is written to that file
<!-- fragment -->             yaml: a valid configuration once it starts from its preset
<!-- fragment: FILE -->       yaml: valid merged over that file of the same page (or of own-data.md)
<!-- same as: PATH -->        equals that file of the repository
<!-- not run: REASON -->      is not tested, and why
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^>]+?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its mark (`run`, `file: x`, …; empty without one) and its text."""

    page: str
    line: int
    language: str
    mark: str
    code: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that name a language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page.name, text.count("\n", 0, found.start()) + 1, found["language"], found["mark"] or "", found["code"])
        for found in BLOCK.finditer(text)
    ]


def pages() -> list[Path]:
    """All pages."""
    return sorted(DOCS.glob("*.md"))


def commands(code: str) -> list[str]:
    """The command lines of a console block."""
    return [line.removeprefix("$ ") for line in code.splitlines() if line.startswith("$ ")]


# Enough to have every table; the tutorial's own commands get these too.
SMALL = {
    "study.combination_sizes": [3],
    "study.seeds": 2,
    "pretrain.epochs": 1,
    "finetune.combinations": ["radiology+timeseries+demographics"],
    "finetune.strategies": ["contrastive", "supervised", "random"],
    "finetune.epochs": 2,
    "evaluate.resamples": 100,
    "evaluate.interval_resamples": 100,
    "modalities.discharge.encoder.max_length": 16,
    "modalities.radiology.encoder.max_length": 16,
    "modalities.image.size": 64,
    "execution.workers": 1,
}
STAYS = 120


def small_arguments() -> list[str]:
    """The small sizes as command-line arguments."""
    return [part for key, value in SMALL.items() for part in ("--set", f"{key}={json.dumps(value)}")]

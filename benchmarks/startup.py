"""Start-up time of the command line: `picme --help` and `picme plan` against importing torch alone.

    python benchmarks/startup.py [--quick]

Whoever asks what a command does, or what a run would do, should not wait for a training library. Each is a fresh
process; by turns, so that other work on the machine meets all alike; the median of the rounds. `ratio` is the time of
`import torch` over that of `picme plan demo`, which imports no torch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS, QUICK_ROUNDS = 15, 5


def seconds(code: str, folder: str) -> float:
    """Return the seconds of one fresh process, from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def command(*words: str) -> str:
    """Return Python code that does what the shell command does."""
    return f"import sys; sys.argv = {['picme', *words]!r}; from picme.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    rounds = QUICK_ROUNDS if parser.parse_args().quick else ROUNDS
    codes = {
        "python": "pass",
        "import_torch": "import torch",
        "help": command("--help"),
        "plan": command("plan", "demo", "--out", "run"),
        "list": command("list"),
    }
    times: dict[str, list[float]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as folder:
        for code in codes.values():  # one untimed run loads files into the page cache and compiles modules
            seconds(code, folder)
        for _ in range(rounds):
            for name, code in codes.items():
                times[name].append(seconds(code, folder))
        assert not list(Path(folder).iterdir()), "planning writes nothing"
    found = {name: round(median(values), 3) for name, values in times.items()}
    print(f"median of {rounds} fresh processes each, in seconds, the interpreter's {found['python']} included")
    for name in ("help", "plan", "list", "import_torch"):
        print(f"{name.replace('_', ' '):<14}{found[name]:.3f}")
    result = {
        "ratio": round(found["import_torch"] / found["plan"], 2),
        "reference": "import torch in a fresh interpreter",
        "ratio_help": round(found["import_torch"] / found["help"], 2),
        "seconds": found,
        "rounds": rounds,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""The documentation is true: its code runs, its tables are complete, and it builds without a warning."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
import yaml
from doc_blocks import DOCS, ROOT, SMALL, STAYS, Block, blocks, commands, pages, small_arguments

from picme.config.loading import _merge, read_yaml, validate

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGES = {"python", "yaml", "console", "toml"}
MARKS = ("run", "file: ", "fragment", "same as: ", "not run: ")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_says_how_it_is_tested(page: Path) -> None:
    for block in blocks(page):
        if block.language in LANGUAGES:
            assert block.mark.startswith(MARKS), f"{block.page}:{block.line}"


@pytest.mark.parametrize(
    "block", [b for page in pages() for b in blocks(page) if b.mark.startswith("same as: ")], ids=lambda b: b.mark
)
def test_examples_are_the_files_that_the_tests_install(block: Block) -> None:
    assert block.code == (ROOT / block.mark.removeprefix("same as: ")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "block",
    # Those of extending.md name components of the example package: tests/extensions loads them where it is installed.
    [b for page in pages() for b in blocks(page) if b.mark.startswith("fragment") and page.name != "extending.md"],
    ids=lambda b: f"{b.page}:{b.line}",
)
def test_configurations_are_valid(block: Block) -> None:
    tree = yaml.safe_load(block.code)
    over = block.mark.partition(": ")[2]
    if over:
        base = next(b for page in pages() for b in blocks(page) if b.mark == f"file: {over}")
        tree = _merge(yaml.safe_load(base.code), tree)
    else:
        tree = _merge(read_yaml(tree.pop("preset")), tree)
    validate(tree)


def run_page(page: Path, folder: Path, environment: dict[str, str], more: dict[str, list[str]]) -> None:
    """Runs the marked blocks of a page in order; Python blocks share their names, commands may get arguments."""

    def run(words: list[str], where: str) -> None:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"

    script, names = folder / "page.py", ""
    for block in blocks(page):
        where = f"{block.page}:{block.line}"
        if block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(block.code, encoding="utf-8")
        elif block.mark == "run" and block.language == "python":
            names += block.code
            script.write_text(names, encoding="utf-8")
            run([sys.executable, str(script)], where)
        elif block.mark == "run":
            for command in commands(block.code):
                extra = [words for start, words in more.items() if command.startswith(start)]
                run([*shlex.split(command), *(extra[0] if extra else [])], f"{where}: {command}")


RUN = [page for page in pages() if any(block.mark == "run" for block in blocks(page))]
SLOW = {"tutorial.md", "own-data.md", "meds.md", "external-validation.md"}


@pytest.mark.parametrize("page", [page for page in RUN if page.name not in SLOW], ids=lambda page: page.name)
def test_code_runs(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    run_page(page, tmp_path, environment, {})


@pytest.mark.slow
def test_tutorial_runs(demo: Path, environment: dict[str, str]) -> None:
    size = [*small_arguments(), "--set", f"source.stays={STAYS}"]
    more = {f"picme {verb} demo": size for verb in ("run", "plan", "prepare")}
    more["picme demo"] = ["--stays", str(STAYS), *small_arguments()]
    run_page(DOCS / "tutorial.md", demo, environment, more)
    assert (demo / "runs" / "demo" / "report.html").is_file()
    assert "<h1>" in (demo / "compare.html").read_text(encoding="utf-8")
    assert (demo / "probabilities.csv").read_text(encoding="utf-8").startswith("stay_id,mortality")


@pytest.mark.slow
def test_own_data_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    run_page(DOCS / "own-data.md", tmp_path, environment, {})
    assert (tmp_path / "runs" / "own" / "report.html").is_file()


@pytest.mark.slow
def test_external_validation_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    stays = ["--set", "source.stays=150"]
    quick = [*stays, *("--set", "study.seeds=1"), *("--set", "finetune.epochs=2")]
    more = {"picme run hospital.yaml": quick, "picme validate runs/here": stays}
    run_page(DOCS / "external-validation.md", tmp_path, environment, more)
    for name in ("there", "again"):
        assert "Does it hold there?" in (tmp_path / "runs" / name / "external.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_meds_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    parts = ("study.seeds", "pretrain", "finetune.epochs", "finetune.strategies", "evaluate", "execution")
    kept = {key: value for key, value in SMALL.items() if key.startswith(parts)} | {
        "modalities.timeseries.encoder.hidden": 8,
        "modalities.demographics.encoder.hidden": [8],
    }
    quick = [part for key, value in kept.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    run_page(DOCS / "meds.md", tmp_path, environment, {"picme run meds-mimic": quick})
    assert (tmp_path / "runs" / "meds" / "report.html").is_file()


@pytest.mark.slow
def test_notebook_runs_on_a_finished_demo(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("PICME_RUN", str(demo / "runs" / "demo"))
    notebook = nbformat.read(ROOT / "examples" / "demo.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(demo)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "error"]
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert "application/vnd.plotly.v1+json" in kinds, "a figure is shown"


def test_notebook_is_kept_without_output() -> None:
    notebook = nbformat.read(ROOT / "examples" / "demo.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]


@pytest.mark.parametrize("page", ["results", "config"])
def test_generated_pages_are_made_from_their_declarations(page: str) -> None:
    name = {"config": "configuration"}.get(page, page)
    committed = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    made = import_module(f"picme.{page}.document").document()
    assert committed == made, f"python -m picme.{page}.document > docs/{name}.md"


@pytest.mark.slow
def test_documented_tables_are_those_of_a_run(demo: Path) -> None:
    import polars as pl

    from picme.results.tables import table

    for file in (demo / "runs" / "demo" / "results").glob("*.parquet"):
        declared, found = table(file.stem).schema, dict(pl.read_parquet_schema(file))
        assert list(found) == list(declared)
        assert {name: kind for name, kind in declared.items() if kind is not None}.items() <= found.items()


def hooks() -> Any:
    """The module that mkdocs calls."""
    spec = spec_from_file_location("site_pages", DOCS / "hooks" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_formulas_become_mathml() -> None:
    pytest.importorskip("latex2mathml", reason="the extra `docs` is not installed")
    made = hooks().formulas((DOCS / "concepts.md").read_text(encoding="utf-8"))
    assert "$" not in made
    assert made.count('display="block"') >= 5


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the extra `docs` is not installed")
def test_site_builds_without_a_warning_and_loads_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages_made = list((tmp_path / "site").rglob("*.html"))
    assert len(pages_made) >= 12
    for page in pages_made:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=[\"']?(https?://[^\"'> ]+)", text)
        assert not loaded, f"{page.name} loads {loaded}"
    concepts = (tmp_path / "site" / "concepts" / "index.html").read_text(encoding="utf-8")
    assert "<math" in concepts
    assert "$" not in re.sub(r"<script.*?</script>", "", concepts, flags=re.DOTALL)
    assert "modality_gated" not in concepts
    assert "ModalityGatedLSTM" in (tmp_path / "site" / "reference" / "index.html").read_text(encoding="utf-8")

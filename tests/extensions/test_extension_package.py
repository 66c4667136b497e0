"""A package of somebody else's adds an objective, encoder, fusion head, task and source, without a change in picme."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
import yaml
from extension_data import write_own_data
from extension_site import PACKAGE, environment, picme, python

if TYPE_CHECKING:
    from pathlib import Path

STUDY = {
    "name": "extended",
    "source": {"kind": "table", "path": "samples.csv", "id": "id", "subject": "patient"},
    "modalities": {
        "vitals": {
            "kind": "timeseries", "path": "vitals.csv", "hours": "hours", "variable": "variable", "value": "value",
            "encoder": {"name": "gru", "hidden": 8},
        },
        "labs": {
            "kind": "timeseries", "path": "labs.csv", "hours": "hours", "variable": "variable", "value": "value",
            "encoder": {"name": "gru", "hidden": 8},
        },
        "person": {"kind": "tabular", "columns": ["age", "sex"], "encoder": {"name": "mlp", "hidden": [8]}},
    },
    "tasks": {"deterioration": {}},
    "splits": {"train": 0.5, "val": 0.25},
    "study": {"combination_sizes": [3], "seeds": 1, "embed_dim": 8},
    "pretrain": {"epochs": 2, "batch_size": 16, "objective": {"name": "anchored", "anchor": 1}},
    "finetune": {
        "combinations": "all", "singles": False, "epochs": 2, "batch_size": 16, "hidden": 8,
        "strategies": ["supervised", "highest"], "fusions": {"highest": {"name": "maximum", "hidden": 8, "dropout": 0}},
    },
    "evaluate": {"resamples": 100, "interval_resamples": 100},
    "execution": {"workers": 1},
}  # fmt: skip

BUILD = """
import json, sys, torch
from picme.config.loading import load
from picme.encoders import build as build_encoder
from picme.finetune import build as build_head
from picme.design.study import Design
from picme.objectives import InfoNCE, build as build_objective
from picme.tasks import build as build_task

config = load(sys.argv[1])
torch.manual_seed(0)
embeddings = torch.randn(3, 12, 8)
objective = build_objective(config.pretrain.objective, 3)
loss, info = objective(embeddings)
pairs = [float(InfoNCE()(embeddings[[1, other]])[0]) for other in (0, 2)]
encoder = build_encoder(config.modalities["vitals"].encoder, {"n_columns": 4}, 8).eval()
lengths = torch.tensor([3, 5])
short = torch.randn(2, 5, 4)
padded = torch.cat([short, torch.full((2, 2, 4), 9.0)], 1)
embedded = [encoder({"values": values, "lengths": lengths}) for values in (short, padded)]
design = Design(config)
cell = design.cell("deterioration", ("vitals", "labs", "person"), "highest")
head = build_head(cell.head, 3, 8, 2).eval()
present = torch.tensor([[True, True, False]])
one, other = torch.randn(2, 1, 3, 8)
other[:, :2] = one[:, :2]
task = build_task("deterioration", config.tasks["deterioration"])
print(json.dumps({
    "loss": float(loss), "pairs": pairs, "terms": len(info["terms"]),
    "encoder": type(encoder).__name__, "shape": list(embedded[0].shape),
    "padding": float((embedded[0] - embedded[1]).abs().max()),
    "head": type(head).__name__, "absent": float((head(one, present) - head(other, present)).abs().max()),
    "labels": task.labels, "hours": task.hours,
    "dumped": design.pretrain(("vitals", "labs", "person")).fields["pretraining"]["objective"],
    "code": [design.pretrain(("vitals", "labs", "person")).fields["pretraining"]["code"], cell.head_code,
             cell.encodings[0].code, cell.encodings[2].code],
}))
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A configuration that names all four, beside the data."""
    write_own_data(tmp_path)
    return write(tmp_path, STUDY)


def write(folder: Path, tree: dict[str, object]) -> Path:
    tree = json.loads(json.dumps(tree))
    tree["source"]["path"] = str(folder / "samples.csv")  # type: ignore[index]
    for name in ("vitals", "labs"):
        tree["modalities"][name]["path"] = str(folder / f"{name}.csv")  # type: ignore[index]
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return file


def test_components_are_built_from_the_configuration_and_keep_their_promises(
    installed: dict[str, str], study: Path
) -> None:
    done = python(BUILD, installed, str(study))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["loss"] == pytest.approx(sum(found["pairs"]) / 2, rel=1e-5), "the mean of the anchor's pairs"
    assert found["terms"] == 2
    assert (found["encoder"], found["shape"]) == ("GRUEncoder", [2, 8])
    assert found["padding"] < 1e-6, "what is beyond a stay's last hour has no influence"
    assert (found["head"], found["absent"]) == ("MaximumHead", 0.0)
    assert (found["labels"], found["hours"]) == (["vasopressors", "ventilation"], 24)
    assert found["dumped"]["anchor"] == 1, "every field of the component is in the step's key"
    assert all(found["code"][:3]), "so is the code of another package's component"
    assert found["code"][3] is None, "picme's own is not"


def test_names_are_listed_and_planning_imports_neither_torch_nor_the_package(
    installed: dict[str, str], study: Path
) -> None:
    listed = picme(installed, "list", "objectives", "--json")
    assert json.loads(listed.stdout)["anchored"] == "picme_example.objective:Anchored"
    code = (
        "import sys; from picme.config.loading import load; load('demo');"
        "print([name for name in sys.modules if name == 'torch' or name.startswith('picme_example')])"
    )
    assert python(code, installed).stdout.strip() == "[]"


MISTAKES = [
    ({"pretrain.objective": {"name": "anchord"}}, "'anchord' in 'pretrain.objective'; did you mean 'anchored'"),
    ({"pretrain.objective": {"name": "anchored", "anhcor": 1}}, "has no key 'anhcor'; did you mean 'anchor'"),
    ({"pretrain.objective": {"name": "anchored", "anchor": -1}}, "pretrain.objective.anchor: input should be"),
    ({"modalities.person.encoder": {"name": "gru"}}, "encoder 'gru' reads timeseries, not tabular"),
    ({"finetune.strategies": ["supervised"]}, "fusions.highest is not named in strategies"),
    ({"finetune.strategies": ["highest", "supervisd"]}, "unknown strategy 'supervisd'; did you mean 'supervised'"),
    ({"finetune.fusions": {"gated": {"name": "maximum"}}}, "fusions.gated is a strategy already"),
    ({"finetune.fusions": {"a+b": {"name": "maximum"}}}, "since files are called by it, not 'a+b'"),
    ({"finetune.fusions.highest.name": "maximal"}, "'maximal' in 'finetune.fusions.highest'; did you mean 'maximum'"),
]
LOAD = """
import json, sys
from picme.config.loading import load
from picme.errors import ConfigError

def sentence(overrides):
    try:
        load(sys.argv[1], overrides)
    except ConfigError as error:
        return str(error)

print(json.dumps([sentence(overrides) for overrides in json.loads(sys.argv[2])]))
"""


def test_mistakes_are_one_sentence(installed: dict[str, str], study: Path) -> None:
    done = python(LOAD, installed, str(study), json.dumps([overrides for overrides, _ in MISTAKES]))
    assert done.returncode == 0, done.stderr
    for (overrides, words), sentence in zip(MISTAKES, json.loads(done.stdout), strict=True):
        assert sentence is not None, f"{overrides} was accepted"
        assert words in sentence
        assert "\n" not in sentence


def test_configurations_of_the_documentation_are_valid(installed: dict[str, str], tmp_path: Path) -> None:
    docs = PACKAGE.parents[1] / "docs"
    fragment = re.compile(r"<!-- fragment(: own.yaml)? -->\n```yaml\n(.*?)```", re.DOTALL)
    own = re.search(
        r"<!-- file: own.yaml -->\n```yaml\n(.*?)```", (docs / "own-data.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert own is not None
    (tmp_path / "own.yaml").write_text(own[1], encoding="utf-8")
    found = fragment.findall((docs / "extending.md").read_text(encoding="utf-8"))
    assert len(found) == 8
    for over, text in found:
        tree = {"preset": str(tmp_path / "own.yaml"), **yaml.safe_load(text)} if over else yaml.safe_load(text)
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        done = python(LOAD, installed, str(tmp_path / "study.yaml"), "[{}]")
        assert json.loads(done.stdout) == [None], done.stdout + done.stderr


def test_a_broken_package_is_in_nobodys_way_until_it_is_named(installed: dict[str, str], tmp_path: Path) -> None:
    about = tmp_path / "site" / "broken-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[picme.objectives]\nbroken = no_such_module:Nothing\nbare = json:JSONDecoder\n", encoding="utf-8"
    )
    broken = environment(tmp_path / "site")
    assert picme(broken, "plan", "demo", "--json").returncode == 0
    for name, words in (
        ("broken", "cannot be loaded from no_such_module:Nothing"),
        ("bare", "has no attribute `Config`"),
    ):
        done = picme(broken, "plan", "demo", "--set", f"pretrain.objective={{name: {name}}}")
        assert done.returncode == 2
        assert words in done.stderr


def test_a_fusion_changes_the_key_of_its_own_strategy_alone(study: Path, tmp_path: Path) -> None:
    from picme.config.loading import load
    from picme.design.study import Design

    def keys(hidden: int) -> list[str]:
        found = Design(load("demo", {
            "finetune.strategies": ["supervised", "mine"],
            "finetune.fusions": {"mine": {"name": "concat", "hidden": hidden}},
        }))  # fmt: skip
        return [found.finetune("mortality", ("image", "radiology"), name, 0).key for name in ("supervised", "mine")]

    (plain, mine), (plain_again, changed) = keys(8), keys(16)
    assert plain == plain_again
    assert mine != changed


@pytest.mark.slow
def test_a_study_runs_with_all_four(installed: dict[str, str], study: Path, tmp_path: Path) -> None:
    done = picme(installed, "run", str(study), "--out", str(tmp_path / "run"), "--quiet")
    assert done.returncode == 0, done.stderr
    summary = pl.read_parquet(tmp_path / "run" / "results" / "summary.parquet")
    assert set(summary["strategy"]) == {"supervised", "highest"}
    assert set(summary["task"]) == {"deterioration"}
    labels = set(pl.read_parquet(tmp_path / "run" / "results" / "scores.parquet")["label"])
    assert labels == {"vasopressors", "ventilation", "macro", "micro"}
    code = (
        "import sys, picme; study = picme.load(sys.argv[1]);"
        "print(study.tensors('vitals', task='deterioration').lengths.max())"
    )
    longest = python(code, installed, str(tmp_path / "run"))
    assert int(longest.stdout) == 24, "the task's prediction time cuts the series"
    _reads_without_the_package(tmp_path / "run")


def _reads_without_the_package(run: Path) -> None:
    """Tables, figures and report of a finished run need the run folder alone; what needs a component says so."""
    bare = {name: value for name, value in environment(run).items() if name != "PICME_DEBUG"}
    code = (
        "import sys, picme; study = picme.load(sys.argv[1]);"
        "print(study.table('summary').height, len(study.figures()) > 3); study.cohort('deterioration')"
    )
    found = python(code, bare, str(run))
    assert found.stdout.split()[1] == "True", found.stderr
    assert found.returncode == 1
    assert "unknown name 'gru' in 'modalities.vitals.encoder'" in found.stderr
    (run / "report.html").unlink()
    written = picme(bare, "report", str(run / "config.yaml"), "--out", str(run))
    assert written.returncode == 0, written.stderr
    assert "nothing was run: unknown name 'gru'" in written.stdout
    assert (run / "report.html").stat().st_size > 1_000_000
    elsewhere = picme(bare, "run", str(run / "config.yaml"), "--out", str(run))
    assert elsewhere.returncode == 2, "running needs the package"


@pytest.mark.slow
def test_a_study_runs_on_a_source_of_the_package(installed: dict[str, str], tmp_path: Path) -> None:
    generator = random.Random(0)
    with (tmp_path / "stays.jsonl").open("w", encoding="utf-8") as handle:
        for stay in range(80):
            sick = generator.random() < 0.4
            hours = [[generator.gauss(sick, 1), generator.gauss(0, 1)] for _ in range(generator.randint(3, 40))]
            line = {"stay": stay, "patient": f"p{stay // 2}", "died": int(sick), "vitals": hours,
                    "person": {"age": generator.randint(20, 90)} if stay % 5 else None}  # fmt: skip
            handle.write(json.dumps(line) + "\n")
    tree = {
        "source": {"kind": "jsonl", "path": str(tmp_path / "stays.jsonl")},
        "require": "any",
        "modalities": {
            "vitals": {"kind": "timeseries", "table": "vitals", "encoder": {"name": "lstm", "hidden": 8}},
            "person": {"kind": "tabular", "table": "person", "encoder": {"name": "mlp", "hidden": [8]}},
        },
        "tasks": {"died": {"labels": ["died"], "hours": 12}},
        **{name: STUDY[name] for name in ("splits", "evaluate", "execution")},
        "study": {"combination_sizes": [2], "seeds": 1, "embed_dim": 8},
        "pretrain": {"epochs": 1, "batch_size": 16},
        "finetune": {"strategies": ["supervised"], "epochs": 1, "combinations": "all"},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    done = picme(installed, "run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "run"), "--quiet")
    assert done.returncode == 0, done.stderr
    flow = pl.read_parquet(tmp_path / "run" / "results" / "cohort_flow.parquet").filter(
        pl.col("task") == "died", pl.col("split").is_null()
    )
    assert flow["stays"].to_list() == [80, 64]
    assert pl.read_parquet(tmp_path / "run" / "results" / "summary.parquet").height == 3
    mistaken = picme(installed, "plan", str(tmp_path / "study.yaml"), "--set", "source={kind: jsnol}")
    assert (mistaken.returncode, "did you mean 'jsonl'" in mistaken.stderr) == (2, True)


@pytest.mark.slow
def test_pip_installs_the_package_and_its_entry_points(tmp_path: Path, study: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend of the example package is not installed")
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(target), str(PACKAGE)],
        check=True,
    )  # fmt: skip
    for group, name in (
        ("objectives", "anchored"),
        ("encoders", "gru"),
        ("encoders", "bag"),
        ("modalities", "counts"),
        ("fusions", "maximum"),
        ("tasks", "deterioration"),
        ("tasks", "long_stay"),
        ("sources", "jsonl"),
    ):
        assert name in json.loads(picme(environment(target), "list", group, "--json").stdout)
    assert picme(environment(target), "plan", str(study), "--json").returncode == 0

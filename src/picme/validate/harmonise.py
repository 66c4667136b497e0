"""Stays of another source in the form in which a run's models read their own: the same modalities and variables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from picme.errors import DataError
from picme.modalities import open_modality, write_views
from picme.predict.new_stays import NewStays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from picme.modalities.base import Modality
    from picme.modalities.match import Match
    from picme.pipeline import Run
    from picme.schema import Rows


Matches = dict[tuple[str, str], list["Match"]]
"""Task and modality → where each variable came from."""


def harmonise(study: Run, source: Run, tasks: Sequence[str], scratch: Path) -> tuple[NewStays, Matches]:
    """Rewrite a prepared cohort so that a run's models can read it.

    A modality with the model's very columns, a text or an image is taken as it is. Otherwise every variable is looked
    for by name, in all modalities of the kind, and converted to the model's unit; what is nowhere is missing.

    Args:
        study: the run.
        source: the other source, prepared.
        tasks: whose views are needed.
        scratch: where it is written.

    Returns:
        The stays, and where each variable came from, by task and modality.

    Raises:
        DataError: if a modality or a variable does not fit, or nothing of a model's is there.
    """
    prepared = scratch / "prepared"
    statistics = json.loads((study.prepared / "statistics.json").read_text(encoding="utf-8"))
    sections: dict[str, Any] = {}
    matches: Matches = {}
    views = dict.fromkeys(["pretrain", *tasks])
    for view in views:
        (prepared / "views" / view).mkdir(parents=True)
        file = source.prepared / "views" / view / "cohort.parquet"
        (prepared / "views" / view / "cohort.parquet").symlink_to(file)
    for name, section in study.config.modalities.items():
        given = source.config.modalities.get(name)
        if given is not None and given.kind != section.kind:
            raise DataError(
                f"modality {name!r} of {source.folder} is of kind {given.kind}, the model's of {section.kind}"
            )
        model = open_modality(
            section.kind, study.prepared / "views" / "pretrain" / name, study.prepared / "pool" / name
        )
        found = {view: model.conform(statistics[name], name, _of_kind(source, section.kind, view)) for view in views}
        matches |= {(task, name): found[task][1] for task in tasks}
        taken = _place(name, section.kind, {view: each[0] for view, each in found.items()}, found, source, prepared)
        if taken is not None:
            sections[name] = source.config.modalities[taken] if taken else section
    if not sections:
        raise DataError(
            f"{source.folder} has none of the variables and modalities that the models of {study.folder} read"
        )
    config = source.config.model_copy(update={"modalities": sections})
    return NewStays(source.folder, prepared, config, scratch / "features", tolerant=True), matches


def _of_kind(source: Run, kind: str, view: str) -> dict[str, Modality]:
    """Return the modalities of a kind that a view of the other source has."""
    return {
        name: open_modality(kind, source.prepared / "views" / view / name, source.prepared / "pool" / name)
        for name, section in source.config.modalities.items()
        if section.kind == kind
    }


def _place(
    name: str,
    kind: str,
    rows: Mapping[str, Rows | None],
    found: Mapping[str, tuple[Rows | None, list[Match]]],
    source: Run,
    prepared: Path,
) -> str | None:
    """Put a modality of all views where models look for it.

    Returns:
        The modality that is taken as it is, the empty text for one that is written anew, None where nothing is there.
    """
    written = {view: each for view, each in rows.items() if each is not None}
    if written:
        if not any(match.modality for _, matches in found.values() for match in matches):
            return None
        folders = {view: prepared / "views" / view / name for view in written}
        write_views(kind, written, folders, prepared / "pool" / name)
        return ""
    taken = next((match.modality for _, matches in found.values() for match in matches if match.modality), None)
    if taken is None:
        return None
    for view in rows:
        (prepared / "views" / view / name).symlink_to(source.prepared / "views" / view / taken)
    if (source.prepared / "pool" / taken).exists():
        (prepared / "pool").mkdir(exist_ok=True)
        (prepared / "pool" / name).symlink_to(source.prepared / "pool" / taken)
    return taken


def variable_rows(matches: Matches, judged: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return rows of the table `external_variables`, which counts the stays that are judged.

    Args:
        matches: of `harmonise`.
        judged: for each task which stays are judged (stay,) bool.
    """
    rows = []
    for (task, modality), found in matches.items():
        for match in found:
            stays = 0 if match.known is None else int(match.known[judged[task]].sum())
            rows.append(
                {
                    "task": task,
                    "modality": modality,
                    "variable": match.variable,
                    "status": "absent" if not stays else "converted" if match.converted else "read",
                    "source_modality": match.modality,
                    "source_variable": match.given,
                    "conversion": match.converted,
                    "stays": stays,
                    "stays_total": int(judged[task].sum()),
                }
            )
    return rows

"""Why a step is to be made again: what differs from an earlier configuration's, in the configuration's words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.strategies import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from picme.engine.step import Step
    from picme.engine.store import Store

# The most reasons that are told of one kind of step.
MOST = 4
# `stage/field` of a step: the configuration's key for it.
WORDS = (
    (r"^\w+/(modalities\.\w+\.encoder|tasks)\b", r"\1"),
    (r"^\w+/modalities\.\w+\.(embed_dim|precision)$", r"study.\1"),
    (r"^\w+/modalities\.\w+\.shared$", "study.projection"),
    (r"^\w+/modalities\.(\w+)\.trunk$", r"weights of modalities.\1.encoder"),
    (r"^encode/precision$", "study.precision"),
    (r"^encode/trunk$", "weights of the encoder"),
    (r"^pretrain/pretraining\.(pair_objective|objective)\b", r"pretrain.\1"),
    (r"^align/batch_size$", "pretrain.batch_size"),
    (r"^(pretrain|finetune)/space\b", r"\1.search"),
    (r"^finetune/cell\.weights$", "finetune.gate"),
    (r"^(pretrain|finetune)/(?:pretraining|cell)\.(?:course\.|head\.)?", r"\1."),
    (r"^evaluate/(?:settings\.)?", "evaluate."),
    (r"^evaluate\.control$", "evaluate.controls"),
    (r"^prepare/", ""),
    (r"/", "."),
)
# A reason that is told as it is, or what has become of a step that is read: its kind, what, and its title.
Reason = str | tuple[str, str, str]


def why_stale(steps: list[Step], store: Store) -> str | None:
    """Return what differs between steps that are to be made and those of their names that an earlier study finished.

    Args:
        steps: unfinished steps of one kind.
        store: where the finished ones are.
    """
    earlier: dict[str, list[dict[str, Any]]] = {}
    for manifest in store.manifests(steps[0].kind) if steps else ():
        earlier.setdefault(manifest.get("name", ""), []).append(manifest)
    reasons: dict[Reason, None] = {}
    for step in steps:
        found = [_changes(one, step, store) for one in earlier.get(step.name, ()) if "fields" in one]
        reasons |= dict.fromkeys(min(found, key=len) if found else ())
    read: dict[tuple[str, str], list[str]] = {}
    for one in reasons:
        if not isinstance(one, str):
            read.setdefault(one[:2], []).append(one[2])
    told = [one for one in reasons if isinstance(one, str)] + [
        f"{titles[0]} is {what}" if len(titles) == 1 else f"{len(titles)} {kind} steps are {what}"
        for (kind, what), titles in read.items()
    ]
    return "; ".join(told[:MOST] + [f"and {len(told) - MOST} more"] * (len(told) > MOST)) or None


def _changes(manifest: dict[str, Any], step: Step, store: Store) -> list[Reason]:
    """Return the differences between a step and a finished one of its name."""
    if manifest["version"] != step.version:
        return [f"version {manifest['version']} of this step is now {step.version}"]
    if manifest["fields"].keys() != step.fields.keys():
        return ["this version of picme describes the step by other fields"]
    now_fields = json.loads(json.dumps(step.fields, default=str))
    modes = [
        "shared" if "subsets" in (one.get("pretraining") or {}) else "each" for one in (manifest["fields"], now_fields)
    ]
    if modes[0] != modes[1]:
        return [f"pretrain.mode: {modes[0]} → {modes[1]}"]
    before, now = dict(_leaves(manifest["fields"])), dict(_leaves(now_fields))
    upstream = {one.key: one for one in step.inputs}
    old: dict[str, None] = {}
    new: dict[str, None] = {}
    files: dict[str, list[Any]] = {}
    told = []
    for place in {**before, **now}:
        there, here = before.get(place), now.get(place)
        if there == here:
            continue
        if place.startswith("file "):
            files.setdefault(Path(place[5:]).name, []).append((there, here))
        elif any(one in upstream for one in _listed(here)) or any(_finished(one, store) for one in _listed(there)):
            old |= dict.fromkeys(_listed(there))
            new |= dict.fromkeys(_listed(here))
        else:
            told.append(_told(place, there, here, step, now_fields))
    read = _read(list(old), [upstream[key] for key in new if key in upstream], store)
    return [*_of_files(files), *told, *read]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values and lists in a step's fields; parts of a list go by their name and not by their place."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "path" in one for one in value):
        yield from ((f"file {one['path']}", one) for one in value)
    elif isinstance(value, list) and value and all(map(_named, value)):
        for one in value:
            yield from _leaves(one, place)
    elif isinstance(value, dict):
        if _named(value):
            place = _named(value)
            value = {**value.get("section", {}), **{name: one for name, one in value.items() if name not in _NAMES}}
        for name, item in value.items():
            yield from _leaves(item, f"{place}.{name}" if place else str(name))
    else:
        yield place, value


_NAMES = ("modality", "name", "section")


def _named(value: Any) -> str:
    """Return the configuration's key of a modality or task within a step's fields; empty for others."""
    if not isinstance(value, dict):
        return ""
    if {"modality", "embed_dim"} <= value.keys():
        return f"modalities.{value['modality']}"
    return f"tasks.{value['name']}" if {"name", "section"} <= value.keys() else ""


def _listed(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _finished(key: str, store: Store) -> dict[str, Any] | None:
    """Return the manifest of a finished step, of whatever kind and configuration; None where it is no step's key."""
    for file in store.root.glob(f"*/{key}/manifest.json") if re.fullmatch("[0-9a-f]{16}", key) else ():
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return manifest
    return None


def _told(place: str, there: Any, here: Any, step: Step, fields: dict[str, Any]) -> str:
    """Return a sentence about one field."""
    if re.search(r"\b(head_|pair_)?code\b", place):
        return f"the code of {place.partition('code.')[2] or place} has changed"
    cell, pretraining = fields.get("cell", {}), fields.get("pretraining", {})
    if place == "cell.head.order":
        names = [one["modality"] for one in cell["encodings"]]
        there, here = ([names[one] for one in order] if order else None for order in (there, here))
    elif place.startswith("cell.head.") and cell["strategy"] not in BUILT_IN:
        place = place.replace("cell.head", f"cell.fusions.{cell['strategy']}")
    elif place.startswith("pretraining.objective") and len(pretraining["encodings"]) == 2:
        place = place.replace("objective", "pair_objective")
    elif place == "tsne_stays" and 0 in (there, here):
        place, there, here = "tsne", bool(there), bool(here)
    elif place.endswith(".shared"):
        there, here = ("shared" if one else "own" for one in (there, here))
    word = f"{step.stage}/{place}"
    for pattern, key in WORDS:
        word = re.sub(pattern, key, word)
    if word.startswith("weights of"):
        return f"the {word} have changed"
    none = "searched" if ".course." in place else "not set"
    return f"{word}: {_value(there, none)} → {_value(here, none)}"


def _value(value: Any, none: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = f"[{', '.join(map(str, value))}]"
    text = none if value is None else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _read(old: list[str], new: list[Step], store: Store) -> list[Reason]:
    """Return what differs between the artifacts that a step read and those that it reads now."""
    before = {key: _finished(key, store) for key in old}
    names = {(one["kind"], one["name"]) for one in before.values() if one is not None}
    found: list[Reason] = []
    for one in new:
        if one.key not in before:
            known = (one.kind, one.name) in names
            what = "made again" if known and not store.done(one) else "of another configuration" if known else "new"
            found.append((one.kind, what, one.title))
    here = {(one.kind, one.name) for one in new}
    gone = [(one["kind"], one["name"]) for one in before.values() if one is not None]
    found += [(kind, "left out", f"{kind} of {name}") for kind, name in gone if (kind, name) not in here]
    what = "in another order" if set(before) == {one.key for one in new} else "fewer"
    return found or [f"{kind} steps {what}" for kind in dict.fromkeys(one.kind for one in new)]


def _of_files(files: dict[str, list[Any]]) -> list[str]:
    """Return one sentence about raw files: those of a name as they were and as they are."""
    if not files:
        return []
    name, found = next(iter(files.items()))
    there, here = (any(one[side] for one in found) for side in (0, 1))
    what = "is gone" if not here else "is new" if not there else "has moved" if len(found) > 1 else "has changed"
    others = ["", ", and another differs", f", and {len(files) - 1} others differ"][min(len(files), 3) - 1]
    return [f"file {name} {what}{others}"]

"""Reasons for making a step again: what differs from an earlier configuration's, in the configuration's words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    (r"^finetune/cell\.head$", "the fusion head"),
    (r"^(pretrain|finetune)/(?:pretraining|cell)\.(?:course\.|head\.)?", r"\1."),
    (r"^\w+/costs\.(\w+)$", r"modalities.\1.cost"),
    (r"^\w+/thresholds$", "evaluate.decision_thresholds"),
    (r"^evaluate/(?:settings\.)?", "evaluate."),
    (r"^evaluate\.control$", "evaluate.controls"),
    (r"^prepare/", ""),
    (r"/", "."),
)
# The field with the hash of a component's code: the field that holds the component's section.
CODE = (
    (r"\bpretraining\.code$", "pretraining.objective"),
    (r"\b(pair|head)_code$", lambda found: {"pair": "pair_objective", "head": "head"}[found[1]]),
    (r"^(modalities\.\w+)\.code$", r"\1.encoder"),
    (r"^(tasks\.\w+)\.code$", r"\1"),
)
# Keys of which a step has only what follows from them for it.
FOLLOWED = ("align.tsne", "evaluate.controls", "evaluate.shapley", "finetune.gate", "finetune.order")
# A reason that is told as it is, or what has become of a step that is read: its kind, what, and its title.
Reason = str | tuple[str, str, str]
# A configuration as plain values.
Tree = dict[str, Any]


def why_stale(steps: list[Step], store: Store, before: Tree, now: Tree) -> str | None:
    """Return what differs between steps that are to be made and those of their names that an earlier study finished.

    Args:
        steps: unfinished steps of one kind.
        store: where the finished ones are.
        before: the configuration of the earlier study as plain values; empty where it is not known.
        now: the configuration that the steps are made from.
    """
    earlier: dict[str, list[dict[str, Any]]] = {}
    for manifest in store.manifests(steps[0].kind) if steps else ():
        earlier.setdefault(manifest.get("name", ""), []).append(manifest)
    reasons: dict[Reason, None] = {}
    for step in steps:
        found = [_changes(one, step, store, before, now) for one in earlier.get(step.name, ()) if "fields" in one]
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


def _changes(manifest: dict[str, Any], step: Step, store: Store, before: Tree, now: Tree) -> list[Reason]:
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
    earlier, later = dict(_leaves(manifest["fields"])), dict(_leaves(now_fields))
    upstream = {one.key: one for one in step.inputs}
    old: dict[str, None] = {}
    new: dict[str, None] = {}
    files: dict[str, list[Any]] = {}
    told = []
    for place in {**earlier, **later}:
        there, here = earlier.get(place), later.get(place)
        if there == here:
            continue
        if place.startswith("file "):
            files.setdefault(Path(place[5:]).name, []).append((there, here))
        elif any(one in upstream for one in _listed(here)) or any(_finished(one, store) for one in _listed(there)):
            old |= dict.fromkeys(_listed(there))
            new |= dict.fromkeys(_listed(here))
        else:
            told.append(_told(place, (there, here), step, later, (before, now)))
    read = _read(list(old), [upstream[key] for key in new if key in upstream], store)
    return [*_file_changes(files), *told, *read]


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


def _told(place: str, values: tuple[Any, Any], step: Step, leaves: dict[str, Any], trees: tuple[Tree, Tree]) -> str:
    """Return a sentence about one field, of which `values` are the earlier one and that of now."""
    place = "tsne" if place == "tsne_stays" and 0 in values else place
    if place.startswith("code."):
        return f"the code of {place.removeprefix('code.')} has changed"
    if re.search(r"(^|[._])code$", place):
        for pattern, section in CODE:
            place = re.sub(pattern, section, place)
        # The step of a locked part has its encoder's code and not the encoder's section.
        section = f"modalities.{leaves['modality']}.encoder" if place == "code" else _key(place, step, leaves, trees[1])
        name = leaves.get(f"{place}.name")
        return f"the code of {section}{f' ({name})' if name else ''} has changed"
    word = _key(place, step, leaves, trees[1])
    if word.startswith("weights of"):
        return f"the {word} have changed"
    if place.endswith(".shared"):
        values = ("shared" if values[0] else "own", "shared" if values[1] else "own")
    if word in FOLLOWED:
        values = (_under(trees[0], word), _under(trees[1], word))
        if values[0] is None:
            return f"{word} has changed"
        if values[0] == values[1]:
            return f"{word}: {_value(values[1], '')} has another meaning in this configuration"
    none = "searched" if ".course." in place else "not set"
    return f"{word}: {_value(values[0], none)} → {_value(values[1], none)}"


def _key(place: str, step: Step, leaves: dict[str, Any], tree: Tree) -> str:
    """Return the configuration's key for a field of a step."""
    strategy = leaves.get("cell.strategy")
    if place.startswith("cell.head") and strategy in (_under(tree, "finetune.fusions") or ()):
        place = place.replace("cell.head", f"cell.fusions.{strategy}")
    elif place.startswith("pretraining.objective") and len(step.pretraining.encodings) == 2:  # type: ignore[attr-defined]
        place = place.replace("objective", "pair_objective")
    word = f"{step.stage}/{place}"
    for pattern, key in WORDS:
        word = re.sub(pattern, key, word)
    return word


def _under(tree: Tree, key: str) -> Any:
    """Return the value under a key such as `align.tsne`; None where there is none."""
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _value(value: Any, none: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
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


def _file_changes(files: dict[str, list[Any]]) -> list[str]:
    """Return one sentence about raw files: those of a name as they were and as they are."""
    if not files:
        return []
    name, found = next(iter(files.items()))
    there, here = (any(one[side] for one in found) for side in (0, 1))
    what = "is gone" if not here else "is new" if not there else "has moved" if len(found) > 1 else "has changed"
    others = ["", ", and another differs", f", and {len(files) - 1} others differ"][min(len(files), 3) - 1]
    return [f"file {name} {what}{others}"]

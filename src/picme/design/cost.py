"""Estimates of what a study's steps cost, from encoders measured once on this machine, before anything has run.

The measures lie in a cache of the user, for this machine, device and number of threads. To read them imports no torch.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picme.design.measure import EVALUATED, HEAD, OBJECTIVE, Cost, Line, hours, measure
from picme.engine.step import key_of
from picme.errors import PicmeError, TrainingError
from picme.finetune.step import (
    Averaged,
    EmbedPretrained,
    EmbedUntrained,
    Finetune,
    FinetuneSearch,
    RestrictedFinetune,
    Stacked,
    StackWeights,
)
from picme.pretrain.features import Features
from picme.pretrain.step import Pretrain, PretrainSearch, Restricted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from picme.config.study import Config
    from picme.design.study import Design
    from picme.engine.step import Step
    from picme.engine.store import Store

VERSION = 2
SECONDS = 40.0
"""Seconds that all measures may take together, but for the loading of weights."""


class Costs:
    """The measures of a study's encoders, of a fusion head and of the objective, as far as there are any.

    Args:
        design: the study.
    """

    def __init__(self, design: Design) -> None:
        self.design, self.config = design, design.config
        kept = _read(cache_file())
        self.known = {name: _cost(kept[key]) for name, key in self._keys().items() if key in kept}

    def _keys(self) -> dict[str, str]:
        """Return the key of each measure: of all that it depends on."""
        config = self.config
        common = [VERSION, platform.node(), config.execution.device, config.execution.threads, _largest(config)]
        common += [config.study.embed_dim, config.study.precision]
        keys = {
            name: key_of(*common, section.model_dump(mode="json", include={"kind", "encoder", "size"}), hours(config))
            for name, section in config.modalities.items()
        }
        shared = [len(config.modalities), config.pretrain.objective.model_dump(mode="json"), config.finetune.hidden]
        return keys | {name: key_of(*common, name, shared) for name in (HEAD, OBJECTIVE)}

    def _threads(self, name: str) -> int:
        """Return the threads of the steps that a measure is of; small networks have one (see `Step.threaded`)."""
        encoder = self.config.modalities[name].encoder if name in self.config.modalities else None
        large = encoder is not None and (encoder.large or encoder.locked_trunk)
        return self.config.execution.threads if large else 1

    def measure(self) -> list[str]:
        """Measure what is not known and keep it; return a sentence for each part that cannot be measured."""
        from picme.fitting.device import resolve_device
        from picme.fitting.threads import torch_threads

        keys, said = self._keys(), []
        new = {key: name for name, key in keys.items() if name not in self.known}  # equal encoders are measured once
        try:
            device = resolve_device(self.config.execution.device)
        except TrainingError as error:
            return [f"nothing was measured: {error}"]
        for key, name in new.items():
            try:
                with torch_threads(self._threads(name)):
                    found = measure(self.design, name, _largest(self.config), device, SECONDS / len(new))
            except PicmeError as error:
                said.append(f"what {name!r} costs cannot be measured: {error}")
            else:
                if found is not None:
                    self.known |= {other: found for other, its in keys.items() if its == key}
        file = cache_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = _read(file) | {keys[name]: cost for name, cost in self.known.items()}
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(file)
        return said

    def estimate(self, steps: Iterable[Step], stays: int) -> tuple[float | None, float | None]:
        """Return seconds of work and MB of the GPU that steps take at most, None where nothing is known of them."""
        found = [self._of(step, stays) for step in steps]
        seconds = [one for one, _ in found if one is not None]
        memory = [one for _, one in found if one is not None]
        return sum(seconds) if seconds else None, max(memory, default=None)

    def _of(self, step: Step, stays: int) -> tuple[float | None, float | None]:
        """Return seconds and MB of one step."""
        if isinstance(step, Restricted | RestrictedFinetune | Averaged | Stacked | StackWeights):
            return 0.0, None
        if isinstance(step, Features):
            cost = self.known.get(step.modality)
            return None if cost is None or cost.locked is None else cost.locked.of(stays, EVALUATED), None
        if isinstance(step, EmbedPretrained):
            return self._forward(step.pretrain.combination, stays), None
        if isinstance(step, EmbedUntrained):
            return self._forward((step.encoding.modality,), stays), None
        if isinstance(step, Pretrain | PretrainSearch):
            part, section = step.pretraining, self.config.pretrain
            twice = tuple(one.modality for one in part.reconstructed)  # these are encoded once more in every batch
            return self._training((*part.combination, *twice), OBJECTIVE, part.course.epochs, stays, section, step)
        if isinstance(step, Finetune | FinetuneSearch) and step.cell.course is not None:
            names = () if step.cell.frozen else step.cell.combination
            share = step.share if isinstance(step, Finetune) else 1.0
            return self._training(names, HEAD, step.cell.course.epochs, share * stays, self.config.finetune, step)
        return None, None

    def _forward(self, names: Iterable[str], stays: float) -> float | None:
        if any(name not in self.known for name in names):
            return None
        return sum(self.known[name].forward.of(stays, EVALUATED) for name in names)

    def _training(
        self, names: tuple[str, ...], part: str, epochs: int, stays: float, section: Any, step: Step
    ) -> tuple[float | None, float | None]:
        """Return seconds and MB of a training of some encoders and a part that all have."""
        train, val = _shares(self.config)
        costs = [self.known.get(name) for name in (*names, part)]
        if None in costs:
            return None, None
        known = [cost for cost in costs if cost is not None]
        size = section.batch_size
        epoch = sum(cost.train.of(train * stays, size) + cost.forward.of(val * stays, EVALUATED) for cost in known)
        trials = step.space.trials if isinstance(step, PretrainSearch | FinetuneSearch) else 1
        at_once = getattr(section, "micro_batch", None) or size
        memory = [cost.memory.of(at_once, at_once) for cost in known if cost.memory is not None]
        return trials * epochs * epoch, sum(memory) if memory else None


def count_stays(design: Design, store: Store) -> int:
    """Return how many stays a study has at most: those of its cohort if that is there, else those of the raw tables.

    Raises:
        DataError: if the raw tables cannot be read.
    """
    if store.done(design.prepare):
        import polars as pl

        return int(pl.read_parquet(store.path(design.prepare) / "views" / "pretrain" / "cohort.parquet").height)
    config, source = design.config, design.config.source
    if source.kind == "synthetic":
        return int(source.stays)
    from picme.sources.count import count_rows

    if source.kind == "mimic":
        from picme.sources.mimic_ehr import Release

        return count_rows(Release.open(source.ehr).file("icustays")).rows
    if source.kind == "meds":
        from picme.sources.meds_files import stays_listed

        return stays_listed(Path(source.path))
    if source.kind == "physionet2012":
        from picme.sources.physionet2012_files import find_sets

        return 4000 * len(find_sets(source.path, source.unlabelled))
    own = [getattr(source, "path", None), *(section.path for section in config.modalities.values())]
    return max((count_rows(Path(file)).rows for file in own if file is not None), default=0)


def cache_file() -> Path:
    """Return the file of the user's measures."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "picme" / "costs.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or damaged: measured again
        return {}
    return found if isinstance(found, dict) else {}


def _cost(kept: list[Any]) -> Cost:
    return Cost(*(None if line is None else Line(*line) for line in kept))  # type: ignore[arg-type]


def _largest(config: Config) -> int:
    """Return the largest batch that is trained on."""
    sections = (config.pretrain, config.finetune)
    searched = [max(one.search.batch_sizes) for one in sections if one.search != "off"]
    return max(*(one.batch_size for one in sections), *searched)


def _shares(config: Config) -> tuple[float, float]:
    """Return the shares of stays to train on and to validate on, as far as the configuration says them."""
    splits = config.splits
    if splits.folds:
        return 1 - 2 / splits.folds, 1 / splits.folds
    return splits.train, splits.val

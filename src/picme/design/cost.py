"""What the steps of a study cost, from encoders measured once on this machine, before anything has run.

The measures lie in a cache of the user, for this machine, device and number of threads. To read them imports no torch.
"""

from __future__ import annotations

import json
import os
import platform
import time
from math import ceil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from picme.engine.step import key_of
from picme.errors import PicmeError
from picme.finetune.step import (
    Averaged,
    EmbedPretrained,
    EmbedUntrained,
    Finetune,
    FinetuneSearch,
    RestrictedFinetune,
)
from picme.pretrain.features import Features
from picme.pretrain.step import Pretrain, PretrainSearch, Restricted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

    from picme.config.study import Config
    from picme.design.study import Design
    from picme.engine.step import Step
    from picme.engine.store import Store

VERSION = 1
HEAD, OBJECTIVE = "head", "objective"
SECONDS = 40.0
"""How long all measures may take together, but for the loading of weights."""
HOURS = 120
"""Length of a time series that the configuration does not bound."""
EVALUATED = 256
"""Stays in a batch that is not trained on."""


class Line(NamedTuple):
    """What a batch costs: so much for being one, and so much for each stay; in seconds or in MB of the GPU."""

    batch: float
    stay: float

    def of(self, stays: float, size: int) -> float:
        """Return what so many stays cost in batches of a size."""
        return ceil(stays / size) * self.batch + stays * self.stay


class Cost(NamedTuple):
    """What one modality's encoder costs, or a part that all share.

    Attributes:
        locked: seconds of the locked part, for an encoder with one.
        forward: seconds of embedding.
        train: seconds of a step of training.
        memory: MB of the GPU that training takes; none on a CPU.
    """

    locked: Line | None
    forward: Line
    train: Line
    memory: Line | None


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
            name: key_of(*common, section.model_dump(mode="json", include={"kind", "encoder", "size"}), _hours(config))
            for name, section in config.modalities.items()
        }
        shared = [len(config.modalities), config.pretrain.objective.model_dump(mode="json"), config.finetune.hidden]
        return keys | {name: key_of(*common, name, shared) for name in (HEAD, OBJECTIVE)}

    def measure(self) -> list[str]:
        """Measure what is not known and keep it; return a sentence for each modality that cannot be measured."""
        import torch

        from picme.fitting.device import resolve_device

        keys, said, threads = self._keys(), [], torch.get_num_threads()
        new = {key: name for name, key in keys.items() if name not in self.known}  # equal encoders are measured once
        device = resolve_device(self.config.execution.device)
        torch.set_num_threads(self.config.execution.threads)
        try:
            for key, name in new.items():
                try:
                    found = _measure(self.design, name, device, SECONDS / len(new))
                except PicmeError as error:
                    said.append(f"what modality {name!r} costs cannot be measured: {error}")
                else:
                    if found is not None:
                        self.known |= {other: found for other, its in keys.items() if its == key}
        finally:
            torch.set_num_threads(threads)
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
        if isinstance(step, Restricted | RestrictedFinetune | Averaged):
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
            return self._training(part.combination, OBJECTIVE, part.course.epochs, stays, section, step)
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
        memory = [cost.memory.of(size, size) for cost in known if cost.memory is not None]
        return trials * epochs * epoch, sum(memory) if memory else None


def count_stays(config: Config, design: Design, store: Store) -> int:
    """Return how many stays a study has at most: those of its cohort if that is there, else those of the raw tables.

    Raises:
        DataError: if the raw tables cannot be read.
    """
    if store.done(design.prepare):
        import polars as pl

        return int(pl.read_parquet(store.path(design.prepare) / "views" / "pretrain" / "cohort.parquet").height)
    source = config.source
    if source.kind == "synthetic":
        return int(source.stays)
    from picme.sources.count import count_rows

    if source.kind == "mimic":
        from picme.sources.mimic_ehr import Release

        return count_rows(Release.open(source.ehr).file("icustays")).rows
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


def _hours(config: Config) -> int:
    return min(HOURS, config.cohort.max_hours or HOURS)


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


def _measure(design: Design, name: str, device: torch.device, seconds: float) -> Cost | None:
    """Measure an encoder, the head or the objective on random data; None for a kind of modality that has none."""
    import torch

    from picme.encoders import build
    from picme.modalities.sample import sample
    from picme.pretrain.model import ModalityEncoders
    from picme.pretrain.trunk_cache import has_bf16

    config, most = design.config, _largest(design.config)
    if name in (HEAD, OBJECTIVE):
        module, inputs = _shared(design, name, device)
        return _lines(module, inputs, None, most, device, seconds)
    section = config.modalities[name]
    made = sample(section, _hours(config))
    if made is None:
        return None
    spec, batch_of = made
    encoding, locked = design.encoding(name), None

    def on_device(size: int) -> dict[str, torch.Tensor]:
        return {key: value.to(device) for key, value in batch_of(size).items()}

    inputs: Callable[[int], dict[str, torch.Tensor]] = on_device
    if encoding.features is not None:
        trunk, half = build(section.encoder, spec, embed_dim=1, modality=name).eval().to(device), config.study.precision
        autocast = has_bf16(device.type) if half == "auto" else half == "bf16"

        def features(size: int) -> torch.Tensor:
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                return trunk.trunk_features(on_device(size)).float()

        locked, seconds = _line(features, 64, device, seconds / 2), seconds / 2
        one = features(1)[0].clone()
        shape = list(one.shape[1:] if one.ndim == 2 else one.shape)
        spec = {"feature_dim": shape[0], "feature_shape": shape}
        mask = {"attention_mask": torch.ones(1, one.shape[0], dtype=torch.int64)} if one.ndim == 2 else {}

        def inputs(size: int) -> dict[str, torch.Tensor]:
            held = {"features": one[None], **{key: value[0][None].to(device) for key, value in mask.items()}}
            return {key: value.repeat(size, *[1] * (value.ndim - 1)) for key, value in held.items()}

    view: Any = _View({name: _Spec(spec)})
    encoders = ModalityEncoders([encoding], view, seed=0).to(device)

    def embedded(size: int) -> torch.Tensor:
        return encoders({name: inputs(size)}, torch.ones(size, 1, dtype=torch.bool, device=device)).square().mean()

    return _lines(encoders, embedded, locked, most, device, seconds)


class _Spec(NamedTuple):
    sizes: dict[str, Any]

    def spec(self) -> dict[str, Any]:
        return self.sizes


class _View(NamedTuple):
    modalities: dict[str, _Spec]


def _shared(design: Design, name: str, device: torch.device) -> tuple[torch.nn.Module, Callable[[int], torch.Tensor]]:
    """Return the head or objective of all modalities, and its loss on random embeddings of so many stays."""
    import torch

    from picme.config.fusions import ConcatConfig
    from picme.finetune import build as build_head
    from picme.objectives import build as build_objective

    config, count, size = design.config, len(design.config.modalities), design.config.study.embed_dim
    head = build_head(ConcatConfig(hidden=config.finetune.hidden), count, size, 1).to(device)
    objective = build_objective(config.pretrain.objective, count, size).to(device)

    def present(stays: int) -> torch.Tensor:
        return torch.ones(stays, count, dtype=torch.bool, device=device)

    if name == HEAD:
        return head, lambda stays: head(torch.randn(stays, count, size, device=device), present(stays)).square().mean()
    return objective, lambda stays: objective(
        torch.randn(count, stays, size, device=device, requires_grad=True), present(stays)
    )[0]


def _lines(
    module: torch.nn.Module,
    loss_of: Callable[[int], torch.Tensor],
    locked: Line | None,
    most: int,
    device: torch.device,
    seconds: float,
) -> Cost:
    """Measure a module's forward pass and its step of training."""
    import torch

    trained = [one for one in module.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained) if trained else None

    def step(size: int) -> None:
        loss = loss_of(size)
        if loss.requires_grad:
            loss.backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()

    def embed(size: int) -> None:
        with torch.no_grad():
            loss_of(size)

    module.train()
    train = _line(step, most, device, 2 * seconds / 3)
    memory = None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        step(2)
        small = torch.cuda.max_memory_allocated(device)
        memory = Line(held / 2**20, (small - held) / 2 / 2**20)
    module.eval()
    return Cost(locked, _line(embed, EVALUATED, device, seconds / 3), train, memory)


def _line(work: Callable[[int], Any], most: int, device: torch.device, seconds: float) -> Line:
    """Time work on ever larger batches until the largest or until the time is up; the last two make the line."""
    import torch

    def timed(size: int) -> float:
        start = time.perf_counter()
        work(size)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    began, size = time.perf_counter(), min(2, most)
    found = [(size, timed(size))]  # the first is slower, and counts only where there is no time for another
    left = seconds - found[0][1]
    while left > 2 * found[-1][1]:
        took = median(timed(size) for _ in range(3 if found[-1][1] < 0.1 else 1))
        found = [one for one in found if one[0] != size] + [(size, took)]
        left = seconds - (time.perf_counter() - began)
        if size == most or left < 5 * took:
            break
        size = min(most, 4 * size)
    (small, before), (large, after) = found[-2] if len(found) > 1 else (0, 0.0), found[-1]
    stay = max(0.0, (after - before) / (large - small))
    return Line(max(0.0, after - stay * large), stay)

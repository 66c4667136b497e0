"""Measures of what a study's encoders, fusion head and objective cost on this machine, on random data.

This module imports torch when it measures.
"""

from __future__ import annotations

import time
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from picme.config.study import Config
    from picme.design.study import Design

HEAD, OBJECTIVE = "head", "objective"
HOURS = 120
"""Length of a time series that the configuration does not bound."""
EVALUATED = 256
"""Stays in a batch that is not trained on."""


class Line(NamedTuple):
    """The cost of a batch: so much for being one, and so much for each stay; in seconds or in MB of the GPU."""

    batch: float
    stay: float

    def of(self, stays: float, size: int) -> float:
        """Return what so many stays cost in batches of a size."""
        return ceil(stays / size) * self.batch + stays * self.stay


class Cost(NamedTuple):
    """The cost of one modality's encoder, or of a part that all share.

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


def hours(config: Config) -> int:
    """Return the length of a time series that is measured."""
    return min(HOURS, config.cohort.max_hours or HOURS)


def measure(design: Design, name: str, most: int, device: torch.device, seconds: float) -> Cost | None:
    """Measure what an encoder, the head or the objective costs.

    Args:
        design: the study.
        name: a modality, `HEAD` or `OBJECTIVE`.
        most: stays in the largest batch that is trained on.
        device: where it is measured.
        seconds: how long that may take, but for the loading of weights.

    Returns:
        None for a modality of another package's kind.

    Raises:
        ConfigError: if the encoder's weights are missing.
    """
    import torch

    from picme.encoders import build
    from picme.modalities.sample import sample
    from picme.pretrain.model import ModalityEncoders
    from picme.pretrain.trunk_cache import has_bf16

    config = design.config
    if name in (HEAD, OBJECTIVE):
        module, loss_of = _shared(design, name, device)
        return _lines(module, loss_of, None, most, device, seconds)
    section = config.modalities[name]
    made = sample(section, hours(config))
    if made is None:
        return None
    spec, batch_of = made
    encoding, locked = design.encoding(name), None

    def on_device(size: int) -> dict[str, torch.Tensor]:
        return {key: value.to(device) for key, value in batch_of(size).items()}

    inputs = on_device
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
        of_tokens = one.ndim == 2

        def stored(size: int) -> dict[str, torch.Tensor]:
            mask = {"attention_mask": torch.ones(size, len(one), dtype=torch.int64, device=device)} if of_tokens else {}
            return {"features": one.expand(size, *one.shape).contiguous(), **mask}

        inputs = stored

    view: Any = _View({name: _Spec(spec)})
    encoders = ModalityEncoders([encoding], view, seed=0).to(device)

    def embedded(size: int) -> torch.Tensor:
        present = torch.ones(size, 1, dtype=torch.bool, device=device)
        loss: torch.Tensor = encoders({name: inputs(size)}, present).square().mean()
        return loss

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
    section = config.pretrain.pair_objective if count == 2 else config.pretrain.objective
    objective = build_objective(section, count, size).to(device)

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
        try:
            took = median(timed(size) for _ in range(3 if found[-1][1] < 0.1 else 1))
        except torch.OutOfMemoryError:  # of the GPU: smaller batches have told what there is to know
            break
        found = [one for one in found if one[0] != size] + [(size, took)]
        left = seconds - (time.perf_counter() - began)
        if size == most or left < 5 * took:
            break
        size = min(most, 4 * size)
    (small, before), (large, after) = found[-2] if len(found) > 1 else (0, 0.0), found[-1]
    stay = max(0.0, (after - before) / (large - small))
    return Line(max(0.0, after - stay * large), stay)

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from picme.config.encoders import ImageEncoder, LSTMEncoder, TransformerEncoder
from picme.config.loading import load
from picme.encoders import build
from picme.errors import DataError, TrainingError
from picme.modalities import open_modality
from picme.modalities.base import PooledModality
from picme.modalities.text import TextModality
from picme.pretrain import trunk_cache
from picme.pretrain.trunk_cache import batches_by_length, cache_features
from picme.schema import TextRows
from tiny_checkpoints import WORDS, save_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def view(tmp_path: Path) -> Path:
    """20 stays with texts of 1 to 30 words, some equal; stays 3 and 4 have none."""
    rng = np.random.default_rng(0)
    texts: list[str | None] = [" ".join(rng.choice(WORDS, length)) for length in rng.integers(1, 31, 20)]
    texts[3] = texts[4] = None
    texts[7] = texts[8]
    TextModality.write(TextRows(texts), tmp_path / "view", tmp_path / "pool")
    return tmp_path


def text(view: Path, encoder: TransformerEncoder) -> TextModality:
    modality = open_modality("text", view / "view", view / "pool", encoder)
    assert isinstance(modality, TextModality)
    return modality


MODES = [
    {},
    {"pooling": "mean"},
    {"windows": 6, "max_length": 10, "pooling": "mean"},
    {"mode": "lora", "lora_from_layer": 1},
    {"mode": "lora", "lora_from_layer": 2, "pooling": "mean"},
]


@pytest.mark.parametrize("settings", MODES)
@pytest.mark.parametrize("threads", [1, 2])
def test_kept_features_give_what_running_the_trunk_each_step_gives(
    model: Path, view: Path, settings: dict[str, object], threads: int
) -> None:
    config = TransformerEncoder(model=str(model), **{"max_length": 24, **settings})  # type: ignore[arg-type]
    modality = text(view, config)
    out = cache_features(modality, config, modality.spec(), view / "cache", batch_size=4, threads=threads)
    cached = open_modality("text", view / "view", view / "pool", config, features=out)
    torch.manual_seed(5)
    whole = build(config, modality.spec(), embed_dim=6).eval()
    head = build(config, cached.spec(), embed_dim=6).eval()
    head.load_trainable(whole.trainable_state())
    rows = np.array([11, 7, 8, 0, 19, 2])
    assert len(cached) == 20
    np.testing.assert_array_equal(cached.present, modality.present)
    torch.testing.assert_close(head(cached.batch(rows)), whole(modality.batch(rows)), atol=1e-5, rtol=1e-5)
    assert not head._trunk
    assert all(value.isfinite().all() for value in cached.batch(np.array([3, 4])).values())
    assert head(cached.batch(np.array([3, 4]))).isfinite().all()


def test_training_on_kept_features_is_training_with_the_trunk(model: Path, view: Path) -> None:
    config = TransformerEncoder(model=str(model), max_length=24, mode="lora", lora_from_layer=1, lora_dropout=0)
    modality = text(view, config)
    out = cache_features(modality, config, modality.spec(), view / "cache")
    cached = open_modality("text", view / "view", view / "pool", config, features=out)
    losses = []
    for source in (modality, cached):
        torch.manual_seed(5)
        encoder = build(config, source.spec(), embed_dim=6).eval()
        optimiser = torch.optim.SGD([value for value in encoder.parameters() if value.requires_grad], lr=0.05)
        for step in range(4):
            loss = (encoder(source.batch(np.arange(5, 11) + step)) - 1).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_each_item_runs_once(model: Path, view: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    seen: list[int] = []
    monkeypatch.setattr(
        modality, "item_batch", lambda items: seen.extend(items) or TextModality.item_batch(modality, items)
    )
    reports: list[tuple[int, int]] = []
    cache_features(
        modality, config, modality.spec(), view / "cache", batch_size=4, progress=lambda *done: reports.append(done)
    )
    assert sorted(item for item in seen if item >= 0) == list(range(17))
    assert reports[-1] == (17, 17)
    seen.clear()
    cache_features(modality, config, modality.spec(), view / "cache", batch_size=4)
    assert not seen


@pytest.mark.parametrize(
    "change", [{"pooling": "mean"}, {"max_length": 16}, {"windows": 8}, {"mode": "lora", "lora_from_layer": 1}]
)
def test_what_changes_the_output_makes_it_anew(model: Path, view: Path, change: dict[str, object]) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    cache_features(modality, config, modality.spec(), view / "cache")
    before = np.load(view / "cache" / "features.npy")
    config = TransformerEncoder.model_validate({**config.model_dump(), **change})
    modality = text(view, config)
    cache_features(modality, config, modality.spec(), view / "cache")
    after = np.load(view / "cache" / "features.npy")
    assert before.shape != after.shape or not np.allclose(before, after)


def test_new_texts_make_it_anew(model: Path, view: Path) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    cache_features(modality, config, modality.spec(), view / "cache")
    TextModality.write(TextRows(["acute process"]), view / "other", view / "pool")
    modality = text(view, config)
    cache_features(modality, config, modality.spec(), view / "cache")
    assert np.load(view / "cache" / "features.npy").shape == (18, 32)


def test_a_killed_run_goes_on_where_it_was(model: Path, view: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    whole = np.load(cache_features(modality, config, modality.spec(), view / "whole", batch_size=4) / "features.npy")
    run = TextModality.item_batch
    calls: list[np.ndarray] = []

    def killed(items: np.ndarray) -> dict[str, torch.Tensor]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(items)
        return run(modality, items)

    monkeypatch.setattr(modality, "item_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        cache_features(modality, config, modality.spec(), view / "cache", batch_size=4, threads=1)
    assert not (view / "cache").exists()
    kept = set(np.concatenate(calls)) - {-1}
    again: list[int] = []
    monkeypatch.setattr(modality, "item_batch", lambda items: again.extend(items) or run(modality, items))
    cache_features(modality, config, modality.spec(), view / "cache", batch_size=4, threads=1)
    assert kept
    assert not kept & set(again)
    np.testing.assert_array_equal(np.load(view / "cache" / "features.npy"), whole)
    assert sorted(path.name for path in (view / "cache").iterdir()) == ["features.npy", "meta.json"]


def test_features_do_not_depend_on_the_number_of_threads(model: Path, view: Path) -> None:
    config, before = TransformerEncoder(model=str(model), max_length=24), torch.get_num_threads()
    modality, found = text(view, config), []
    try:
        for around, threads in ((1, 1), (2, 1), (2, 2), (4, 3)):
            torch.set_num_threads(around)
            out = view / f"{around}-{threads}"
            cache_features(modality, config, modality.spec(), out, batch_size=4, threads=threads)
            found.append(np.load(out / "features.npy"))
            assert torch.get_num_threads() == around
    finally:
        torch.set_num_threads(before)
    for features in found[1:]:
        np.testing.assert_array_equal(features, found[0])


def test_bf16_is_near_fp32(model: Path, view: Path) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    exact = np.load(cache_features(modality, config, modality.spec(), view / "32") / "features.npy")
    out = cache_features(modality, config, modality.spec(), view / "16", precision="bf16")
    half = np.load(out / "features.npy")
    assert half.dtype == np.float32
    assert 0 < np.linalg.norm(half - exact) / np.linalg.norm(exact) < 0.02
    assert json.loads((out / "meta.json").read_text())["precision"] == "bf16"


# The instructions that torch, oneDNN, MKL and numpy choose on a processor of 2008.
OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
ELSEWHERE = """
import sys
from pathlib import Path
from picme.config.encoders import TransformerEncoder
from picme.modalities import open_modality
from picme.pretrain.trunk_cache import cache_features
view = Path(sys.argv[1])
config = TransformerEncoder(model=sys.argv[2], max_length=24)
modality = open_modality("text", view / "view", view / "pool", config)
cache_features(modality, config, modality.spec(), view / "old", precision=sys.argv[3])
"""


def test_the_demos_features_are_those_of_any_x86(model: Path, view: Path) -> None:
    """The demo asks for fp32: by the instructions of an old processor it differs in the last digits only."""
    precision = load("demo").study.precision
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    here = np.load(
        cache_features(modality, config, modality.spec(), view / "new", precision=precision) / "features.npy"
    )
    words = [sys.executable, "-c", ELSEWHERE, str(view), str(model), precision]
    subprocess.run(words, env=os.environ | OLD, check=True)
    there = np.load(view / "old" / "features.npy")
    assert np.linalg.norm(there - here) / np.linalg.norm(here) < 1e-5


def test_values_that_are_not_finite_stop_it(model: Path, view: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    real = trunk_cache.build

    def broken(*arguments: object, **named: object) -> object:
        encoder = real(*arguments, **named)  # type: ignore[arg-type]
        next(encoder.trunk.parameters()).fill_(float("nan"))
        return encoder

    monkeypatch.setattr(trunk_cache, "build", broken)
    with pytest.raises(TrainingError, match="not finite"):
        cache_features(modality, config, modality.spec(), view / "cache")


def test_an_encoder_without_locked_part_is_refused(model: Path, view: Path) -> None:
    config = TransformerEncoder(model=str(model), max_length=24, mode="full")
    modality = text(view, config)
    with pytest.raises(TrainingError, match="no locked part"):
        cache_features(modality, config, modality.spec(), view / "cache")
    with pytest.raises(TrainingError, match="no locked part"):
        cache_features(modality, LSTMEncoder(), {"n_columns": 3}, view / "cache")


def test_a_view_of_other_items_is_refused(model: Path, view: Path) -> None:
    config = TransformerEncoder(model=str(model), max_length=24)
    modality = text(view, config)
    out = cache_features(modality, config, modality.spec(), view / "cache")
    sent = pickle.dumps(open_modality("text", view / "view", view / "pool", features=out))
    assert len(sent) < 1000
    assert len(pickle.loads(sent)) == 20
    np.save(view / "view" / "index.npy", np.array([99]))
    with pytest.raises(DataError, match="does not hold"):
        open_modality("text", view / "view", view / "pool", features=out)


@pytest.mark.parametrize("mode", ["locked", "last_stage"])
def test_images(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64), dtype=np.uint8)
    (tmp_path / "pool").mkdir()
    (tmp_path / "view").mkdir()
    np.save(tmp_path / "pool" / "images.npy", pixels)
    (tmp_path / "pool" / "pool.json").write_text(json.dumps({"items": 5, "digest": "x"}))
    np.save(tmp_path / "view" / "index.npy", np.array([4, -1, 0, 2]))
    config = ImageEncoder(model="resnet18", weights=None, mode=mode)  # type: ignore[arg-type]
    modality = open_modality("image", tmp_path / "view", tmp_path / "pool")
    assert isinstance(modality, PooledModality)
    out = cache_features(modality, config, modality.spec(), tmp_path / "cache", batch_size=2)
    cached = open_modality("image", tmp_path / "view", tmp_path / "pool", features=out)
    whole = build(config, modality.spec(), embed_dim=6).eval()
    head = build(config, cached.spec(), embed_dim=6).eval()
    head.load_trainable(whole.trainable_state())
    rows = np.array([3, 0, 2])
    torch.testing.assert_close(head(cached.batch(rows)), whole(modality.batch(rows)), atol=1e-5, rtol=1e-5)


def test_batches_hold_about_as_many_tokens_each_and_every_item_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    batches = batches_by_length(lengths, 500, 8)
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert max(len(batch) * lengths[batch].max() for batch in batches) <= 8 * 200
    assert sum(len(batch) * lengths[batch].max() for batch in batches) < 1.1 * lengths.sum()
    assert [len(batch) for batch in batches_by_length(None, 7, 3)] == [3, 3, 1]

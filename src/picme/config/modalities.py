"""Configuration of a modality: its kind, its encoder and where its data are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from picme.config.base import File, Section, choice
from picme.config.encoders import CONFIGS
from picme.errors import ConfigError, near
from picme.registry import Registry

# Encoder of each kind where the configuration names none.
KIND_ENCODERS = {"text": "transformer", "image": "image", "timeseries": "lstm", "tabular": "mlp"}


class ModalityConfig(Section):
    """One modality: its kind of data and its encoder.

    `table` is read by the MIMIC sources; `path`, `columns` and the rest say where a `table` source finds the data.
    """

    kind: str
    """`text`, `image`, `timeseries` or `tabular`, or a kind that another package registers."""
    encoder: choice("encoders", CONFIGS)  # type: ignore[valid-type]
    """Encoder of the modality; the kind's usual encoder if `name` is not given."""
    cost: float = Field(1, ge=0, allow_inf_nan=False)
    """The cost of having the modality of one stay, in any unit that all modalities share."""
    size: int = Field(224, ge=16, le=4096)
    """Images: side in pixels at which they are stored."""
    max_damaged: float = Field(0.1, ge=0, le=1)
    """Images: largest share of unreadable files before the data are refused; fewer are counted and left out."""
    table: str | None = None
    """MIMIC, MEDS: table that the modality is made from."""
    channels: str | None = None
    """MIMIC, MEDS, time series: its own channel set, by name or path; the cohort's if not given."""
    codes: tuple[str, ...] = ()
    """MEDS, texts and images: regular expressions for the codes whose `text_value` is the text, or whose events are the
    images; those of the layout if not given."""
    path: File | None = None
    """Own data: the modality's own file; the source's file if not given."""
    columns: tuple[str, ...] | None = None
    """Own data: columns of a tabular modality, or variables of a time series; by default all without another role.
    `lab_*` stands for all that match."""
    missing: tuple[float | str, ...] | dict[str, tuple[float | str, ...]] = ()
    """Own data: marks of missing values such as `[-1, 999]`, for all columns or variables or for each that has some."""
    column: str | None = None
    """Own data: column with the text, or with the image's path."""
    folder: Path | None = None
    """Own data: folder that image paths are relative to."""
    id: str | None = None
    """Own data: column of the sample id; the source's if not given."""
    hours: str | None = None
    """Own data: column with the hours after the start at which a value of a time series was measured; in other kinds,
    at which the row became known, so that the audit compares it with the task's `hours`."""
    variable: str | None = None
    """Own data, time series: column with the variable's name."""
    value: str | None = None
    """Own data, time series: column with the value."""

    @model_validator(mode="before")
    @classmethod
    def _usual_encoder(cls, data: Any) -> Any:
        """Insert the kind's usual encoder where none is named."""
        if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
            return data
        encoder = data.get("encoder")
        encoder = {} if encoder is None else encoder
        if isinstance(encoder, dict) and "name" not in encoder:
            usual = _usual(data["kind"])
            if usual is None:
                return data
            return {**data, "encoder": {"name": usual, **encoder}}
        return data

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        known = kinds()
        if kind not in known:
            raise ValueError(f"unknown kind {kind!r}{near(kind, known)}")
        return kind

    @model_validator(mode="after")
    def _fit(self) -> ModalityConfig:
        reads = getattr(self.encoder, "reads", ())
        if reads and self.kind not in reads:
            raise ValueError(f"encoder {self.encoder.name!r} reads {' or '.join(reads)}, not {self.kind}")
        return self

    def options(self) -> dict[str, Any]:
        """Return the options of the kind's `write_views`."""
        return {"size": self.size, "max_damaged": self.max_damaged}


def kinds() -> list[str]:
    """Return the names of the kinds, picme's own and those of other packages."""
    return sorted({*KIND_ENCODERS, *Registry("modalities", {}).names()})


def _usual(kind: str) -> str | None:
    """Return the usual encoder of a kind; a kind of another package names it in its attribute `default_encoder`."""
    if kind in KIND_ENCODERS:
        return KIND_ENCODERS[kind]
    try:
        return getattr(Registry("modalities", {}).load(kind), "default_encoder", None)
    except ConfigError:
        return None

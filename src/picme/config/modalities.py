"""A modality: a name, a kind, an encoder, and where its data are."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (pydantic reads the annotation)
from typing import Any

from pydantic import Field, field_validator, model_validator

from picme.config.base import Section, choice
from picme.config.encoders import CONFIGS
from picme.errors import ConfigError, near
from picme.registry import Registry

# Encoders where the configuration names none.
KIND_ENCODERS = {"text": "transformer", "image": "image", "timeseries": "lstm", "tabular": "mlp"}


class ModalityConfig(Section):
    """One modality: what kind of data it is, and what encodes it.

    `table` is read by the MIMIC sources; `path`, `columns` and the rest say where a `table` source finds the data.
    """

    kind: str
    """`text`, `image`, `timeseries` or `tabular`, or a kind that another package registers."""
    encoder: choice("encoders", CONFIGS)  # type: ignore[valid-type]
    """What encodes it; the kind's usual encoder where `name` is not given."""
    size: int = Field(224, ge=16, le=4096)
    """Images: side in pixels at which they are stored."""
    max_damaged: float = Field(0.1, ge=0, le=1)
    """Images: largest share of unreadable files before the data are refused; fewer are counted and left out."""
    table: str | None = None
    """MIMIC: the table it is made from."""
    channels: str | None = None
    """MIMIC, time series: its own channel set, by name or path; the cohort's where it is not given."""
    path: Path | None = None
    """Own data: the modality's own file; the source's file where it is not given."""
    columns: tuple[str, ...] | None = None
    """Own data: columns of a tabular modality, or variables of a time series; all without another part by default."""
    column: str | None = None
    """Own data: column with the text, or with the image's path."""
    folder: Path | None = None
    """Own data: folder in which image paths start."""
    id: str | None = None
    """Own data: column of the sample id; the source's where it is not given."""
    hours: str | None = None
    """Own data, time series: column with the time in hours."""
    variable: str | None = None
    """Own data, time series: column with the variable's name."""
    value: str | None = None
    """Own data, time series: column with the value."""

    @model_validator(mode="before")
    @classmethod
    def _usual_encoder(cls, data: Any) -> Any:
        """Puts in the kind's encoder where none is named."""
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
        """What the kind's writer has to know."""
        return {"size": self.size, "max_damaged": self.max_damaged}


def kinds() -> list[str]:
    """Names of the kinds, picme's own and those of other packages."""
    return sorted({*KIND_ENCODERS, *Registry("modalities", {}).names()})


def _usual(kind: str) -> str | None:
    """The encoder of a kind; a kind of another package says it by its attribute `default_encoder`."""
    if kind in KIND_ENCODERS:
        return KIND_ENCODERS[kind]
    try:
        return getattr(Registry("modalities", {}).load(kind), "default_encoder", None)
    except ConfigError:
        return None

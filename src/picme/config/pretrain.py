"""Configuration of contrastive pretraining and of the alignment that it is judged by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from picme.config.base import Section, choice
from picme.config.bounds import Batch, Draws, Epochs, Hours, Number, Repeats
from picme.config.objectives import CONFIGS as OBJECTIVES
from picme.config.objectives import InfoNCEConfig, OneVersusOthersConfig
from picme.config.search import Search


class PretrainConfig(Section):
    """Contrastive pretraining of each combination, or of all by one training."""

    mode: Literal["each", "shared"] = "each"
    """`each` pretrains every combination by itself. `shared` is one training over all modalities, which serves every
    combination: each batch runs over a subset of the modalities, the stays take part with what they have of it, and λ
    of a combination is the softmax of its modalities' logits."""
    subsets: Literal["by_size", "uniform"] = "by_size"
    """Subsets that `mode: shared` draws: `by_size` draws a size from 2 to all modalities and then one of the subsets of
    that size; `uniform` draws one of all subsets of two modalities and more."""
    window: Hours = Field(48, gt=0)
    """Hours after ICU admission whose data pretraining sees."""
    pair_objective: choice("objectives", OBJECTIVES, "infonce") = InfoNCEConfig()  # type: ignore[valid-type]
    """The objective for two modalities."""
    objective: choice("objectives", OBJECTIVES, "ovo") = OneVersusOthersConfig()  # type: ignore[valid-type]
    """The objective for three modalities and more."""
    epochs: Epochs = Field(75, ge=1)
    """Greatest number of passes over the training stays."""
    patience: Epochs = Field(15, ge=1)
    """Epochs without a better validation recall@5 before training stops."""
    batch_size: Batch = Field(64, ge=2)
    """Stays in a batch, which are each other's negatives."""
    micro_batch: Batch | None = Field(None, ge=1)
    """Stays that are encoded at a time, where a GPU's memory does not hold a whole batch of large encoders: losses and
    gradients are those of the whole batch (GradCache), at twice the encoders' forward passes. Not for encoders that
    train batch normalisation. The whole batch at once if null."""
    reconstruct: float = Field(0.0, ge=0, le=1000)
    """Weight of reconstruction beside contrast: a part of each time series is hidden (15 % of the hours and of the
    other hours' measurements), and predicted from its embedding are the hidden values and, of hidden hours, which
    variables were measured. The series are encoded twice. A combination without a series is trained by contrast alone.
    0 leaves it out."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of encoders and temperature; λ has its own, in the objective."""
    weight_decay: float = Field(1e-4, ge=0)
    """AdamW's decoupled weight decay."""
    seeds: Repeats = Field(1, ge=1)
    """Number of draws of encoders: pretrainings of each combination, and as many untrained encoders for the control
    `random`, so that neither gains more from averaging. Fine-tuning with seed s takes draw s modulo this number, so as
    many as `study.seeds` give each seed its own. Alignment is measured on the first."""
    search: Search = "off"
    """Search of learning rate and batch size before the pretrainings, on validation recall@5 or, where the objective
    has a score of its own, on that. `off` takes the values above."""
    search_combinations: Literal["size", "all"] = "size"
    """Combinations that are searched on: `size` takes one of each size, made of the first modalities in the
    configuration's order, and every combination of that size gets its result; `all` searches for each by itself. With
    `mode: shared` the one training is searched."""
    validation: Literal["split", "batches"] = "split"
    """Candidates of the validation recall@5 by which pretraining is searched, stopped and chosen: the whole split, or
    as published, batches of 32 stays in their order, where chance is 5/32."""
    loggers: tuple[Literal["csv", "tensorboard", "mlflow", "wandb"], ...] = ()
    """Loggers that get each epoch's loss, recall, temperature and λ, in addition to the table `pretraining`; they write
    under `logs` in the run folder. They change no number, so they are in no key."""


class AlignConfig(Section):
    """Settings of the measures of alignment."""

    ks: tuple[Annotated[Number, Field(ge=1)], ...] = Field((1, 5, 10), min_length=1)
    """Values of k for recall@k."""
    gallery: Number = Field(1000, ge=2)
    """Number of candidates in a retrieval; a smaller split is used whole."""
    draws: Draws = Field(5, ge=1)
    """Number of galleries that are drawn and averaged where the split is larger."""
    tsne: Literal["largest", "all", "off"] | tuple[str, ...] = "largest"
    """Combinations whose t-SNE frames are kept over the epochs."""
    tsne_stays: Number = Field(150, ge=5)
    """Number of stays shown in a frame."""

    @field_validator("ks")
    @classmethod
    def _each_once(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(ks)))

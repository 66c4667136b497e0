"""The preset `paper`: what is stated of the published study holds in the steps that it makes."""

from __future__ import annotations

from picme.config.loading import load
from picme.design.study import Design

PATHS = {"source.ehr": "x", "source.notes": "y", "source.cxr": "z"}
NOTHING_READ = {"raw": [], "code": {}}


def test_paper_trains_the_image_encoder_and_takes_frozen_embeddings_as_they_are() -> None:
    design = Design(load("paper", PATHS), NOTHING_READ)
    assert "image" in Design(load("prospective", PATHS), NOTHING_READ).locked
    supervised = design.cell("mortality", ("discharge", "image"), "supervised")
    image = supervised.encodings[1]
    assert image.encoder.mode == "full" and image.features is None and supervised.standardise is None
    assert design.cell("mortality", ("discharge", "image"), "contrastive").standardise is False


def test_paper_s_weights_move_at_the_encoders_rate_without_a_pull_and_are_chosen_within_batches() -> None:
    config = load("paper", PATHS)
    assert config.pretrain.objective.weight_learning_rate is None and config.pretrain.objective.kl == 0
    assert Design(config, NOTHING_READ).pretraining(("discharge", "image")).validation == "batches"


def test_paper_has_the_published_demographics_and_its_rule_for_notes() -> None:
    cohort = load("paper", PATHS).cohort
    assert cohort.demographics.columns == ("age", "gender", "ethnicity", "marital_status")
    assert (cohort.admit, cohort.notes.mode, cohort.extraction) == ("paper", "paper", "benchmark")

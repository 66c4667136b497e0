"""Result tables that judge the models: groups, fairness, calibration, decisions and attribution."""

from __future__ import annotations

from picme.results.columns import CELL, FLAG, LABEL, MODALITY, NUMBER, TEXT, WHOLE, bounds, no_interval
from picme.results.table import Column, Table

ATTRIBUTE = Column(
    "attribute", TEXT, "The cohort column that defines the groups; crossed ones as `gender × ethnicity`."
)

SUBGROUPS = Table(
    "subgroups",
    "One row scores a combination and strategy on the test stays of one group.",
    (
        *CELL,
        ATTRIBUTE,
        Column("group", TEXT, "The value of the attribute; all that too few subjects have are `(smaller groups)`."),
        Column("n_stays", WHOLE, "The number of test stays of the group.", "stays"),
        Column("n_subjects", WHOLE, "The number of subjects of the group.", "subjects"),
        Column("positives", WHOLE, "The number of the group's stays and labels that are positive."),
        Column("auroc", NUMBER, "The AUROC within the group, the mean over the labels.", "fraction"),
        *bounds("", "the AUROC", "fraction"),
        Column(
            "suppressed",
            FLAG,
            "True where the group is too small to show, has or lacks too few outcomes, or would tell another such group"
            " by subtraction; all its numbers are null then.",
        ),
        Column(
            "gap",
            NUMBER,
            "The AUROC of all other stays minus that of the group, over the labels that both can judge; above 0 the "
            "group is served worse.",
            "fraction",
        ),
        *bounds(
            "gap_", "the gap", "fraction", " The intervals of all gaps of a combination and strategy hold together."
        ),
        Column("best", FLAG, "True for the group of the attribute with the highest AUROC, which is not tested."),
        no_interval("", "the AUROC"),
        no_interval("gap_", "the gap"),
        Column(
            "observed_expected",
            NUMBER,
            "The number of outcomes observed in the group for each one expected, by the prediction that was"
            " recalibrated on all validation stays; above 1 risks are too low for the group.",
        ),
        *bounds("observed_expected_", "this ratio", ""),
    ),
)
FAIRNESS = Table(
    "fairness",
    "One row is a measure of how differently the chosen cell of a task decides between groups.",
    (
        *CELL,
        ATTRIBUTE,
        Column(
            "metric",
            TEXT,
            "The measure: `demographic_parity_difference`, `equal_opportunity_difference` or "
            "`equalized_odds_difference`.",
        ),
        Column("value", NUMBER, "The largest difference between two groups; 0 is none.", "fraction"),
        Column("groups", WHOLE, "The number of groups that were compared."),
        Column("labels", WHOLE, "The number of labels that were averaged."),
    ),
)
CALIBRATION = Table(
    "calibration",
    "One row is a bin of the predicted probabilities of a combination and strategy on test stays.",
    (
        *CELL,
        Column("brier", NUMBER, "The Brier score: the mean squared error of the probabilities, over all bins."),
        Column("ece", NUMBER, "The expected calibration error over bins of equal width.", "fraction"),
        Column(
            "bin",
            WHOLE,
            "The bin, counted from 0; neighbouring bins of equal width are joined until each holds `evaluate.min_group`"
            " stays.",
        ),
        Column("mean_predicted", NUMBER, "The mean predicted probability in the bin.", "fraction"),
        Column("observed", NUMBER, "The share of the bin's predictions for which the label is true.", "fraction"),
        Column("n", WHOLE, "The number of predictions in the bin."),
        Column("slope", NUMBER, "The slope of the logistic recalibration that was fitted on validation stays."),
        Column("intercept", NUMBER, "The intercept of that recalibration."),
        Column("brier_recalibrated", NUMBER, "The Brier score after the recalibration."),
        Column("ece_recalibrated", NUMBER, "The expected calibration error after the recalibration.", "fraction"),
        *bounds("", "the observed share", "fraction"),
    ),
)
THRESHOLDS = Table(
    "thresholds",
    "One row is what deciding at a threshold would mean for a label.",
    (
        *CELL,
        LABEL,
        Column("rule", TEXT, "The rule by which the threshold was chosen on resamples of the validation subjects."),
        Column("threshold", NUMBER, "The probability from which a stay counts as positive.", "fraction"),
        Column("sensitivity", NUMBER, "The share of the positive test stays that are found.", "fraction"),
        Column("specificity", NUMBER, "The share of the negative test stays that are left alone.", "fraction"),
        Column("ppv", NUMBER, "The share of the test stays called positive that are.", "fraction"),
        Column("npv", NUMBER, "The share of the test stays called negative that are.", "fraction"),
        Column(
            "min_sensitivity_ppv",
            NUMBER,
            "The lesser of sensitivity and PPV: the score of event 1 of the PhysioNet challenge 2012.",
            "fraction",
        ),
        *bounds("threshold_", "the threshold, over resamples of the validation subjects", "fraction"),
        *bounds("sensitivity_", "the sensitivity", "fraction"),
        *bounds("specificity_", "the specificity", "fraction"),
        *bounds("ppv_", "the PPV", "fraction"),
        *bounds("npv_", "the NPV", "fraction"),
        *bounds("min_sensitivity_ppv_", "the lesser of both", "fraction"),
    ),
)
DECISION_CURVE = Table(
    "decision_curve",
    "One row is the net benefit of deciding by a combination and strategy at one threshold of the risk, which was "
    "recalibrated on validation stays.",
    (
        *CELL,
        Column("label", TEXT, "The label of the task; `macro` for the mean over several."),
        Column("threshold", NUMBER, "The risk from which a stay is acted on.", "fraction"),
        Column(
            "net_benefit",
            NUMBER,
            "The true positives per test stay less the false ones, each of which counts threshold / (1 − threshold); "
            "acting on nobody has 0.",
            "true positives per stay",
        ),
        *bounds("", "the net benefit", "true positives per stay"),
        Column("treat_all", NUMBER, "The net benefit of acting on every stay.", "true positives per stay"),
    ),
)
ATTRIBUTIONS = Table(
    "attributions",
    "One row is what a method attributes to a modality in a combination and strategy.",
    (
        *CELL,
        MODALITY,
        Column(
            "method",
            TEXT,
            "The method: `lambda`, `integrated_gradients` (from embeddings of zero), `integrated_gradients_mean` (from "
            "the training mean) or `shapley`.",
        ),
        Column(
            "value",
            NUMBER,
            "The mean over the seeds: for Shapley values the AUROC that the modality adds, for the other methods its "
            "share, which adds up to 1 over the modalities.",
            "fraction",
        ),
        Column("std", NUMBER, "The standard deviation over the seeds, null for a single one.", "fraction"),
    ),
)
AGREEMENT = Table(
    "agreement",
    "One row says how far two methods of attribution put the modalities of a cell in the same order.",
    (
        *CELL,
        Column("method_a", TEXT, "The first method."),
        Column("method_b", TEXT, "The second method."),
        Column("tau", NUMBER, "Kendall's rank correlation τ: 1 for the same order, −1 for the reverse."),
        Column("modalities", WHOLE, "The number of modalities that were ranked.", "modalities"),
    ),
)

TABLES = (SUBGROUPS, FAIRNESS, CALIBRATION, THRESHOLDS, DECISION_CURVE, ATTRIBUTIONS, AGREEMENT)

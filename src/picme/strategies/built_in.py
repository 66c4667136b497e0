"""The built-in strategies, one declaration each."""

from __future__ import annotations

from picme.strategies.base import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION, Strategy

CONTRASTIVE = Strategy(
    "contrastive",
    "frozen pretrained encoders, an MLP on their concatenated embeddings",
    "encoders pretrained by contrastive learning and then frozen, with a small network on top",
    encoders="pretrained",
    smallest=2,
    controls=("random",),
    alternatives=("supervised",),
    colour=BLUE,
    symbol="circle",
)
GATED = Strategy(
    "gated",
    "encoders and the modality-gated LSTM with λ, trained on the task",
    "everything trained on the task, the modalities read in turn by an LSTM whose steps are weighted by λ",
    encoders="from_scratch",
    head="gated_lstm",
    gate="configured",
    smallest=3,  # λ exists from three modalities on
    smaller="gated_uniform",
    controls=("gated_uniform", "supervised_lstm"),
    alternatives=("supervised", "contrastive"),
    colour=GREEN,
    symbol="triangle-up",
)
FINETUNED = Strategy(
    "finetuned",
    "pretrained encoders and the MLP, everything trained on the task",
    "started from the contrastively pretrained encoders, then everything trained on the task",
    encoders="from_pretrained",
    smallest=2,
    controls=("supervised",),
    alternatives=("contrastive",),
    colour=SKY,
    symbol="diamond",
)
SUPERVISED_ATTENTION = Strategy(
    "supervised_attention",
    "attention over the modalities with a class token",
    "everything trained on the task, embeddings combined by attention",
    encoders="from_scratch",
    head="attention",
    smallest=2,
    alternatives=("supervised",),
    colour=PURPLE,
    symbol="diamond",
)
SUPERVISED_SUM = Strategy(
    "supervised_sum",
    "a gated sum of the modalities",
    "everything trained on the task, embeddings added up",
    encoders="from_scratch",
    head="gated_sum",
    smallest=2,
    alternatives=("supervised",),
    colour=PURPLE,
    symbol="diamond-open",
)
SUPERVISED = Strategy(
    "supervised",
    "encoders and an MLP on their concatenated embeddings, trained on the task",
    "everything trained from scratch on the task, with a small network on the concatenated embeddings",
    encoders="from_scratch",
    alternatives=("random",),
    colour=ORANGE,
    symbol="square",
)
RANDOM = Strategy(
    "random",
    "control of contrastive: the same encoders untrained",
    "control: as contrastive, but with untrained projections in place of the pretrained ones",
    encoders="untrained",
    selectable=False,
    colour=BLUE,
    symbol="circle-open",
)
GATED_UNIFORM = Strategy(
    "gated_uniform",
    "control of gated: λ the same for every modality",
    "control: the gated LSTM with the same weight for every modality",
    encoders="from_scratch",
    head="gated_lstm",
    gate="uniform",
    smallest=2,
    selectable=False,
    colour=GREEN,
    symbol="triangle-up-open",
)
SUPERVISED_LSTM = Strategy(
    "supervised_lstm",
    "control of gated: a plain LSTM over the modalities (λ = 1)",
    "control: the gated LSTM with all weights one, which is a plain LSTM",
    encoders="from_scratch",
    head="lstm",
    smallest=2,
    selectable=False,
    colour=GREEN,
    symbol="square-open",
)
GRADIENT_BOOSTING = Strategy(
    "gradient_boosting",
    "baseline: boosted trees on summary features",
    "baseline: boosted trees on simple summary features",
    encoders="none",
    head="gradient_boosting",
    selectable=False,
    baseline=True,
    colour=INK,
    symbol="x",
)
LOGISTIC_REGRESSION = Strategy(
    "logistic_regression",
    "baseline: logistic regression on summary features",
    "baseline: logistic regression on simple summary features",
    encoders="none",
    head="logistic_regression",
    selectable=False,
    baseline=True,
    seeded=False,
    colour=INK,
    symbol="cross",
)

STACKED = Strategy(
    "stacked",
    "a penalised logistic regression on what other strategies predict for training stays that they have not seen",
    "the predictions of several other models together, weighted by how they do on training stays they have not seen",
    encoders="none",
    head="stacked",
    stacks=("contrastive", "supervised", "gradient_boosting"),
    controls=("gradient_boosting", "stacked_mean"),
    alternatives=("contrastive", "supervised"),
    colour=INK,
    symbol="star",
)
STACKED_CONTRASTIVE = Strategy(
    "stacked_contrastive",
    "as stacked, of contrastive and gradient_boosting",
    "contrastively pretrained encoders and boosted trees on summary features together",
    encoders="none",
    head="stacked",
    stacks=("contrastive", "gradient_boosting"),
    smallest=2,
    controls=("stacked_random", "gradient_boosting"),
    alternatives=("contrastive",),
    colour=BLUE,
    symbol="diamond",
)
STACKED_RANDOM = Strategy(
    "stacked_random",
    "control of stacked_contrastive: of random and gradient_boosting",
    "control: untrained encoders and boosted trees on summary features together",
    encoders="none",
    head="stacked",
    stacks=("random", "gradient_boosting"),
    smallest=2,
    selectable=False,
    colour=BLUE,
    symbol="diamond-open",
)
EQUAL = "mean"
"""Head of a strategy that combines others with equal weights."""
STACKED_MEAN = Strategy(
    "stacked_mean",
    "control of stacked: the mean of the same logits, with nothing learnt",
    "control: the same predictions with equal weights",
    encoders="none",
    head=EQUAL,
    stacks=STACKED.stacks,
    selectable=False,
    colour=INK,
    symbol="star-open",
)

ANY_SUBSET = Strategy(
    "any_subset",
    "one training for every combination, modalities withheld at random; an MLP with a learnt vector for an absent one",
    "one model for every combination, trained on the task with some modalities withheld at random",
    encoders="from_scratch",
    head="concat_tokens",
    subsets=True,
    controls=("late_fusion", "any_subset_zeros", "presence_only"),
    alternatives=("supervised",),
    colour=VERMILLION,
    symbol="star",
)
ANY_SUBSET_ATTENTION = Strategy(
    "any_subset_attention",
    "as any_subset, with attention over the modalities that are there",
    "one model for every combination, which combines by attention the modalities that are there",
    encoders="from_scratch",
    head="attention",
    subsets=True,
    controls=("late_fusion", "presence_only"),
    alternatives=("any_subset",),
    colour=VERMILLION,
    symbol="hexagon",
)
ANY_SUBSET_GATED = Strategy(
    "any_subset_gated",
    "as any_subset, with the gated LSTM, which skips absent modalities",
    "one model for every combination, which reads in turn, weighted by λ, the modalities that are there",
    encoders="from_scratch",
    head="gated_lstm",
    gate="configured",
    subsets=True,
    smallest=3,  # λ exists from three modalities on
    controls=("late_fusion", "presence_only"),
    alternatives=("any_subset", "gated"),
    colour=VERMILLION,
    symbol="pentagon",
)
ANY_SUBSET_CONTRASTIVE = Strategy(
    "any_subset_contrastive",
    "as any_subset, on the frozen encoders of the pretraining over all modalities",
    "one small network for every combination, on encoders pretrained by contrastive learning and then frozen",
    encoders="pretrained",
    head="concat_tokens",
    subsets=True,
    controls=("late_fusion", "presence_only"),
    alternatives=("contrastive", "any_subset"),
    colour=BLUE,
    symbol="star",
)
ANY_SUBSET_ZEROS = Strategy(
    "any_subset_zeros",
    "control of any_subset: zeros in place of the learnt vectors",
    "control: the one model for every combination, with zeros where a modality is absent",
    encoders="from_scratch",
    subsets=True,
    selectable=False,
    colour=VERMILLION,
    symbol="star-open",
)
LATE_FUSION = Strategy(
    "late_fusion",
    "control of any_subset: the mean probability of single-modality models of the modalities that a stay has",
    "control: the mean of what one model for each single modality says",
    encoders="none",
    head="late_fusion",
    averages="supervised",
    smallest=2,
    selectable=False,
    colour=VERMILLION,
    symbol="hexagon-open",
)
PRESENCE_ONLY = Strategy(
    "presence_only",
    "control of any_subset: logistic regression on which modalities a stay has, and on nothing in them",
    "control: sees only which modalities a stay has",
    encoders="none",
    head="presence_only",
    smallest=2,
    selectable=False,
    seeded=False,
    colour=VERMILLION,
    symbol="pentagon-open",
)

FOR_SUBSETS: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        ANY_SUBSET,
        ANY_SUBSET_ATTENTION,
        ANY_SUBSET_GATED,
        ANY_SUBSET_CONTRASTIVE,
        ANY_SUBSET_ZEROS,
        LATE_FUSION,
        PRESENCE_ONLY,
    )
}
"""The strategies that take any subset of the modalities, and their controls."""

STACKS: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (STACKED, STACKED_CONTRASTIVE, STACKED_RANDOM, STACKED_MEAN)
}
"""The strategies that combine what others predict, and their controls."""

OPTIONAL = FOR_SUBSETS | STACKS
"""The strategies that bring their comparisons only where a study names them."""

BUILT_IN: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        CONTRASTIVE,
        GATED,
        FINETUNED,
        SUPERVISED_ATTENTION,
        SUPERVISED_SUM,
        SUPERVISED,
        RANDOM,
        GATED_UNIFORM,
        SUPERVISED_LSTM,
        GRADIENT_BOOSTING,
        LOGISTIC_REGRESSION,
        *STACKS.values(),
        *FOR_SUBSETS.values(),
    )
}

"""Bootstrap over subjects, by weights: one sort per label, then weighted rank sums for all resamples at once.

A resample draws as many subjects as there are, with replacement; a stay's weight is how often its subject was drawn
(the cluster bootstrap of Field and Welsh, 2007), so stays of one patient come and go together. AUROC and AUPRC of a
weighted sample need, at each score that a positive stay has, the weight of the negatives above and at it. These
sums over stays are a sparse matrix (score × subject, fixed for a label) times the weights (subject × resample): all
resamples in one product and one cumulative sum. Results equal scikit-learn's with `sample_weight`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from picme.metrics.classification import check

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Elements of one block of weights (subject × resample): small enough for the second-level cache.
_BLOCK = 1 << 19


@dataclass(frozen=True)
class SubjectResamples:
    """Counts of how often each subject is drawn in each resample, shared by everything that is compared.

    Attributes:
        n_subjects: number of subjects; each resample draws as many.
        resamples: number of resamples.
        blocks: counts as uint8 arrays (subject, resample of the block).
    """

    n_subjects: int
    resamples: int
    blocks: list[NDArray[np.uint8]] = field(repr=False)

    @classmethod
    def draw(cls, n_subjects: int, resamples: int, seed: int) -> SubjectResamples:
        """Draw the counts, deterministic in `seed`; the first resamples do not depend on how many are drawn."""
        size = max(32, min(2048, _BLOCK // max(n_subjects, 1)))
        blocks = []
        for index, start in enumerate(range(0, resamples, size)):
            # Each block has its own generator, so that a longer run begins with the blocks of a shorter one.
            generator = np.random.default_rng([seed, index])
            drawn = (
                generator.integers(0, n_subjects, size=(size, n_subjects)) if n_subjects else np.zeros((size, 0), int)
            )
            drawn += np.arange(size)[:, None] * n_subjects
            counts = np.bincount(drawn.ravel(), minlength=size * n_subjects).reshape(size, n_subjects)
            counts = np.minimum(counts[: resamples - start], 255)
            blocks.append(np.ascontiguousarray(counts.T.astype(np.uint8)))
        return cls(n_subjects, resamples, blocks)

    def first(self, resamples: int) -> SubjectResamples:
        """Return only the first `resamples` of these resamples."""
        blocks, left = [], min(resamples, self.resamples)
        for block in self.blocks:
            if left <= 0:
                break
            blocks.append(block[:, :left])
            left -= block.shape[1]
        return SubjectResamples(self.n_subjects, min(resamples, self.resamples), blocks)

    def totals(self, values: NDArray[np.floating], subject: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return sums over the stays of each resample (row, resample) of values (row, stay); `subject` is (stay,)."""
        sums = np.stack([np.bincount(subject, row, self.n_subjects) for row in values])
        return np.concatenate([sums @ block for block in self.blocks], axis=1)


@dataclass(frozen=True)
class _Ranked:
    """One label's stays in descending order of score, as a matrix that sums the weights of subjects.

    A group is the positives of one score. Attributes: `groups`, their number; `sums` (row, subject), of which the first
    groups + 1 rows are the negatives that score below the previous group and not below this one, in the last of them
    those below all groups, the next rows the positives of each group, and the rest the negatives that share the score
    of a group; `tied_rows`, those groups; `own`, needed for what is among others only.
    """

    groups: int
    sums: csr_array
    tied_rows: NDArray[np.intp]
    own: _Own | None


@dataclass(frozen=True)
class _Own:
    """The counts that a positive stay's own subject adds at its score.

    Attributes, each (positive,): `row`, its group; `subject`, its subject; `positives` and `stays`, how many of its
    subject's stays, itself among them, score at least as high.
    """

    row: NDArray[np.intp]
    subject: NDArray[np.integer]
    positives: NDArray[np.float32]
    stays: NDArray[np.float32]


def _own(
    p: NDArray[np.floating], is_positive: NDArray[np.bool_], subject: NDArray[np.integer], row: NDArray[np.intp]
) -> _Own:
    """Count for each positive the stays of its own subject; all arguments are (stay,) in descending order of score."""
    order = np.lexsort((-p, subject))
    whose, score = subject[order], p[order]
    stays, positives = np.arange(1, len(order) + 1), np.cumsum(is_positive[order])
    last = np.flatnonzero(np.append((whose[1:] != whose[:-1]) | (score[1:] != score[:-1]), True))
    end = last[np.searchsorted(last, np.arange(len(order)))]
    first = np.searchsorted(whose, whose)
    counts = np.empty((2, len(order)), np.float32)
    counts[0, order] = positives[end] - np.concatenate([[0], positives])[first]
    counts[1, order] = stays[end] - first
    return _Own(row[is_positive], subject[is_positive], counts[0, is_positive], counts[1, is_positive])


def _rank(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer], n_subjects: int, others: bool
) -> _Ranked | None:
    """Prepare one label; return None if its defined labels hold fewer than two classes."""
    defined = ~np.isnan(y)
    y, p, subject = y[defined], p[defined], subject[defined]
    is_positive = y == 1
    if not is_positive.any() or is_positive.all():
        return None
    order = np.argsort(-p, kind="stable")
    p, is_positive, subject = p[order], is_positive[order], subject[order]
    score_group = np.concatenate([[0], np.cumsum(p[1:] != p[:-1])])
    holds_positive = np.bincount(score_group, weights=is_positive) > 0
    in_positive_group = holds_positive[score_group]
    # Index of the group at or next below each stay.
    row: NDArray[np.intp] = (np.cumsum(holds_positive) - holds_positive)[score_group]
    groups = int(holds_positive.sum())
    tied = ~is_positive & in_positive_group
    tied_rows: NDArray[np.intp]
    tied_rows, tied_row = np.unique(row[tied], return_inverse=True)
    rows = np.concatenate([row[~is_positive], groups + 1 + row[is_positive], 2 * groups + 1 + tied_row])
    n_rows = 2 * groups + 1 + len(tied_rows)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int32)
    columns = np.concatenate([subject[~is_positive], subject[is_positive], subject[tied]]).astype(np.int32)
    return _Ranked(
        groups=groups,
        sums=csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(n_rows, n_subjects)),
        tied_rows=tied_rows,
        own=_own(p, is_positive, subject, row) if others else None,
    )


def _weighted_areas(
    ranked: _Ranked, weights: NDArray[np.float32], others: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute AUROC, AUPRC and AUPRC among others, NaN if not asked for, (resample,); weights (subject, resample)."""
    # Sums of counts are whole numbers below 2^24, hence exact in float32; what follows is float64.
    sums = ranked.sums @ weights
    negative, positive, tied = np.split(sums, [ranked.groups + 1, 2 * ranked.groups + 1])
    positive = positive.astype(np.float64)
    tp = _cumulative(positive)
    fp_all = _cumulative(negative)
    n_positive, n_negative = tp[-1].copy(), fp_all[-1].copy()
    fp = fp_all[:-1]
    above = np.einsum("gr,gr->r", positive, fp)
    if len(ranked.tied_rows):
        above -= np.einsum("gr,gr->r", positive[ranked.tied_rows], tied) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        roc = 1 - above / (n_positive * n_negative)
        fp += tp
        among = np.full_like(roc, np.nan)
        if others and ranked.own is not None:
            among = _precision_among_others(ranked.own, tp, fp, positive, weights) / n_positive
        # Where nothing has been drawn yet, 0/0 stands for a term of weight zero.
        np.divide(tp, np.maximum(fp, 1e-300, out=fp), out=tp)
        prc = np.einsum("gr,gr->r", positive, tp) / n_positive
    meaningless = (n_positive == 0) | (n_negative == 0)
    for values in (roc, prc, among):
        values[meaningless] = np.nan
    return roc, prc, among


def _precision_among_others(
    own: _Own,
    tp: NDArray[np.float64],
    called: NDArray[np.float64],
    positive: NDArray[np.float64],
    weights: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Sum over positives of their weight times the precision at their score among the stays of other subjects.

    The precision is 1 where no other subject scores as high.
    """
    weight = positive
    if len(own.row) > len(tp):
        weight = weights[own.subject].astype(np.float64)
        tp, called = tp[own.row], called[own.row]
    single = bool((own.stays == 1).all())
    found = tp - (weight if single else own.positives[:, None] * weight)
    rest = called - (weight if single else own.stays[:, None] * weight)
    # Counts are whole numbers, so this changes 0/0 to 1 and nothing else beyond rounding.
    found += 1e-9
    rest += 1e-9
    np.divide(found, rest, out=found)
    return np.einsum("pr,pr->r", weight, found)


def _cumulative(values: NDArray[np.floating], size: int = 32) -> NDArray[np.float64]:
    """Return `cumsum` down the rows in float64.

    Adding whole rows, in blocks if there are many, is several times as fast as numpy's function.
    """
    rows, columns = values.shape
    if rows < 4 * size:
        total = values.astype(np.float64)
        for row in range(1, rows):
            total[row] += total[row - 1]
        return total
    padded = np.zeros((-(-rows // size), size, columns))
    padded.reshape(-1, columns)[:rows] = values
    for place in range(1, size):
        padded[:, place] += padded[:, place - 1]
    padded[1:] += _cumulative(padded[:-1, -1])[:, None]
    return padded.reshape(-1, columns)[:rows]


def bootstrap_areas(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute AUROC and AUPRC of every label in every resample.

    Args:
        y: labels (label, stay), NaN where undefined for the stay.
        p: scores (label, stay).
        subject: index of each stay's subject (stay,), below `resamples.n_subjects`.
        resamples: the draws.

    Returns:
        AUROC (label, resample), AUPRC (label, resample); NaN where a resample holds one class only.

    Raises:
        DataError: for shapes that do not match, labels other than 0, 1, NaN, and NaN scores.
    """
    roc, prc, _ = bootstrap_all(y, p, subject, resamples, among=0)
    return roc, prc


def bootstrap_all(
    y: NDArray[np.floating],
    p: NDArray[np.floating],
    subject: NDArray[np.integer],
    resamples: SubjectResamples,
    among: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute AUROC, AUPRC and AUPRC among others of every label in every resample; as `bootstrap_areas` otherwise.

    Average precision counts every positive stay as found by itself, so it is too high in a sample, and higher still in
    a resample, where stays repeat. AUPRC among others takes the precision at each positive over the stays of other
    subjects only, which has next to no bias. It takes half as long as the rest, so `among` limits it to the first
    resamples, as many as that or a few more.
    """
    check(y, p)
    last = resamples.resamples if among is None else among
    ranked = [_rank(y[label], p[label], subject, resamples.n_subjects, last > 0) for label in range(len(y))]
    found = np.full((3, len(y), resamples.resamples), np.nan)
    start = done = 0
    for counts in resamples.blocks:
        weights = counts.astype(np.float32, order="C")
        stop = start + counts.shape[1]
        for label, prepared in enumerate(ranked):
            if prepared is not None:
                found[:, label, start:stop] = _weighted_areas(prepared, weights, others=start < last)
        done, start = (stop if start < last else done), stop
    roc, prc, others = found
    return roc, prc, others[:, :done]


def auprc_among_others(
    y: NDArray[np.floating], p: NDArray[np.floating], subject: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute each label's AUPRC among the stays of other subjects (label,): the centre of the interval of AUPRC."""
    n_subjects = int(subject.max(initial=-1)) + 1
    once = SubjectResamples(n_subjects, 1, [np.ones((n_subjects, 1), np.uint8)])
    return bootstrap_all(y, p, subject, once)[2][:, 0]

"""Texts that tell the outcome are named by section and kind of word, never quoted; honest ones are not named."""

from __future__ import annotations

import numpy as np
import pytest

from picme.cohort.separation import area, folds
from picme.cohort.telling import judge_texts

N = 300
Y = np.asarray(np.arange(N) % 8 == 0, int)
FOLD = folds(np.arange(N))


def texts(told: str = "", share: float = 1.0, seed: int = 0) -> list[str]:
    """Summaries of random words in three sections; the history of a share of the positives has what is told."""
    rng = np.random.default_rng(seed)
    words = [f"w{chr(97 + i)}{chr(97 + j)}" for i in range(10) for j in range(10)]

    def some() -> str:
        return " ".join(rng.choice(words, 15))

    return [
        f"History of present illness:\n{some()} {told if y and rng.random() < share else ''}\n"
        f"Past medical history:\n{some()}\nSocial history:\n{some()}"
        for y in Y
    ]


def found(told: str = "", share: float = 1.0, seed: int = 0) -> tuple[float, dict[str, str]]:
    scores, rows = judge_texts("discharge", "died", texts(told, share, seed), Y, FOLD)
    return area(Y, scores)[0], {row["check"]: row["detail"] for row in rows if row["violation"]}


@pytest.mark.parametrize("seed", range(5))
def test_honest_texts_pass(seed: int) -> None:
    auroc, violations = found(seed=seed)
    assert abs(auroc - 0.5) < 0.15 and violations == {}


def test_a_sentence_that_no_list_knows_is_found_three_ways() -> None:
    auroc, violations = found("zzqx body released")
    assert auroc > 0.98 and set(violations) == {"told_by_section", "told_by_word"}
    assert all("history_of_present_illness" in detail for detail in violations.values())
    assert (
        "a word in" in violations["told_by_word"]
        and "is in 38 of 38 positive and 0 of 262" in violations["told_by_word"]
    )
    assert not any(word in str(violations) for word in ("zzqx", "body", "released"))


def test_half_of_the_positives_are_enough_for_a_word() -> None:
    auroc, violations = found("zzqx", 0.6)
    assert auroc < 0.95 and set(violations) == {"told_by_word"}


def test_a_section_of_few_texts_is_read_too() -> None:
    """A section that 16 texts have, all of positives, is too rare to be scored; its words are a sign all the same."""
    rare = [f"{text}\nFamily history:\nzzqx" if stay < 121 and Y[stay] else text for stay, text in enumerate(texts())]
    assert sum("zzqx" in text for text in rare) == 16
    found = judge_texts("discharge", "died", rare, Y, FOLD)[1]
    assert [(row["check"], row["count"]) for row in found if row["violation"]] == [("told_by_word", 16)]
    assert "in family_history is in 16 of 38 positive and 0 of 262 other texts" in found[0]["detail"]


def test_a_number_is_called_one_and_a_known_word_is_named() -> None:
    assert "a number in" in found("7741")[1]["told_by_word"]
    assert "a word (hospice) in" in found("hospice")[1]["told_by_word"]


def test_a_pair_of_words_is_found_where_each_is_common() -> None:
    rng = np.random.default_rng(4)
    common = [" ".join(rng.permutation(["he", "x", "died"] if y else ["died", "x", "he"])) for y in Y]
    said = [f"{text} {'he died' if y else 'died, he'}" for text, y in zip(common, Y, strict=True)]
    rows = judge_texts("notes", "died", [text.replace("he x died", "x") for text in said], Y, FOLD)[1]
    assert "a pair of words" in rows[0]["detail"] and "in header" in rows[0]["detail"]


def test_texts_without_a_word_are_scored_alike() -> None:
    scores, rows = judge_texts("notes", "died", ["?"] * N, Y, FOLD)
    assert set(scores) == {0.0} and rows == []

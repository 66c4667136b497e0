"""Types of numbers with an upper bound each: what no machine can do is refused before anything is done."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _at_most(most: int, why: str) -> AfterValidator:
    def check(value: float) -> float:
        if value > most:
            raise ValueError(f"{most:,} is the most, since {why}")
        return value

    return AfterValidator(check)


Repeats = Annotated[int, _at_most(1_000, "each is trained and planned by itself")]
"""How often something is trained."""
Width = Annotated[int, _at_most(16_384, "the weights of a layer grow with the square of its width")]
"""Units of a layer, or the size of an embedding."""
Depth = Annotated[int, _at_most(256, "no network here is deeper or has more parts")]
"""Layers, heads or blocks."""
Batch = Annotated[int, _at_most(65_536, "a batch is held in memory, and its losses with the square of its size")]
"""Stays in a batch."""
Epochs = Annotated[int, _at_most(100_000, "at a second each they would take more than a day")]
"""Passes over the data, or trials."""
Draws = Annotated[int, _at_most(10_000, "an average of so many draws does not change any more")]
"""Random draws that are averaged."""
Processes = Annotated[int, _at_most(1_024, "each is a process or thread of one machine")]
"""Processes or threads."""
Number = Annotated[int, _at_most(1_000_000_000, "no cohort here has more of anything")]
"""Any other number of things: stays, characters, hours."""
Stays = Annotated[int, _at_most(1_000_000, "a synthetic hospital is written from memory, and real ones have fewer")]
"""Stays of a synthetic hospital."""
Seed = Annotated[int, _at_most(2**32 - 1, "random generators take 32 bits")]
"""Seed of a random generator."""
Hours = Annotated[float, _at_most(87_660, "that is ten years, beyond which no stay is followed")]
"""Hours after admission."""

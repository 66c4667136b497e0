"""Check of diagnosis codes against the list of codes; leading zeros that an export lost are put back, or refused.

A spreadsheet or a data frame that takes codes for numbers writes ICD-9 code `0389` (septicaemia) as `389`, which is
another code, or none. A code that is listed only with zeros in front of it gets them back. Where codes have lost their
zeros, a code that is listed both as it stands and with zeros could be either, so such a table is refused.
"""

from __future__ import annotations

from collections import Counter

import polars as pl

from picme.errors import DataError


def plain(column: str) -> pl.Expr:
    """Bring codes to the spelling in which they are compared: no blanks, no dot, upper case."""
    code = pl.col(column).cast(pl.String).str.strip_chars()
    return code.str.replace_all(".", "", literal=True).str.to_uppercase().alias(column)


def with_zeros(
    codes: pl.DataFrame, listed: pl.DataFrame, where: str, max_bad: float, complete: bool = True
) -> tuple[pl.DataFrame, Counter[str]]:
    """Put lost leading zeros back, and check that the codes are listed.

    Args:
        codes: icd_code, icd_version and other columns.
        listed: the codes that exist: icd_code, icd_version.
        where: the table's file, for messages.
        max_bad: largest share of codes that lost their zeros, or are not listed.
        complete: True if a code that is not listed cannot be right.

    Returns:
        The rows in their order, with codes in their plain spelling; and counts by reason.

    Raises:
        DataError: if zeros are lost and cannot be put back, in the list or in the table; if too many codes are not
            listed.
    """
    nine = pl.col("icd_version") == 9
    listed = listed.select(plain("icd_code"), pl.col("icd_version").cast(pl.Int64)).drop_nulls().unique()
    codes = codes.with_columns(plain("icd_code"), pl.col("icd_version").cast(pl.Int64))
    of_nine = listed.filter(nine)["icd_code"]
    zeros = of_nine.str.starts_with("0")
    if complete and len(of_nine) > 1000 and not zeros.any():
        raise DataError(
            f"the list d_icd_diagnoses for {where} has {len(of_nine)} codes of ICD-9 and none begins with 0: "
            "an export took column 'icd_code' for numbers; take the table as it was published"
        )
    # A number has none of its leading zeros: what each code becomes, and of how many codes.
    whole = pl.DataFrame({"whole": of_nine.filter(zeros)})
    short = whole.group_by(icd_code=pl.col("whole").str.strip_chars_start("0")).agg(
        pl.col("whole").first(), pl.len().alias("wholes")
    )
    known = listed.with_columns(pl.lit(True).alias("known"))
    frame = codes.join(known, on=["icd_code", "icd_version"], how="left", maintain_order="left").join(
        short, on="icd_code", how="left", maintain_order="left"
    )
    known_ = pl.col("known").is_not_null()
    padded = nine.fill_null(False) & pl.col("whole").is_not_null()
    one = padded & ~known_ & (pl.col("wholes") == 1)
    coded = pl.col("icd_code").is_not_null() & pl.col("icd_version").is_not_null()
    found = frame.select(
        restored=one.sum(),
        either=(padded & ~one).sum(),
        whole=(nine.fill_null(False) & pl.col("icd_code").str.starts_with("0").fill_null(False)).sum(),
        unlisted=(coded & ~one & ~known_).sum(),
        coded=coded.sum(),
    ).row(0, named=True)
    lost = found["restored"] > max_bad * (found["restored"] + found["whole"])
    if lost and found["either"]:
        raise DataError(
            f"{where}: codes in column 'icd_code' have lost their leading zeros ({found['restored']} rows are listed "
            f"only with zeros in front), and {found['either']} rows could be either of two codes; "
            "take the table as it was published, or export it with icd_code as text"
        )
    if complete and found["unlisted"] > max_bad * max(found["coded"], 1):
        raise DataError(
            f"{where}: {found['unlisted']} of {found['coded']} codes in column 'icd_code' are not in d_icd_diagnoses; "
            f"allowed is a share of {max_bad:g}"
        )
    put_back = pl.when(one).then("whole").otherwise(pl.col("icd_code"))
    counts = Counter({"leading zeros put back": found["restored"]})
    if complete:
        counts["not in d_icd_diagnoses"] = found["unlisted"]
    return frame.with_columns(put_back.alias("icd_code")).select(codes.columns), +counts

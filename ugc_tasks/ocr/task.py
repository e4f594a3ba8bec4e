"""The functions that ``ugc_videocap_ocr.yaml`` names.

A file of its own, because lmms-eval looks for them beside the YAML.
"""

from __future__ import annotations

import os
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.lmms.hooks import fields, received
from ugc_tasks.ocr.overlap import MEASURES, ocr_overlap
from ugc_tasks.results.rows import base_row, columns
from ugc_tasks.results.scoring import MODES, Mode
from ugc_tasks.run import current_run

_fields = fields("ocr")


def __getattr__(name: str) -> Any:
    if name == "ocr__metadata":
        return {**_fields(name), "mode": mode()}
    return _fields(name)


def mode() -> Mode:
    """Return ``UGC_OCR_MODE``, by which published scripts differ; raises ``DataError``."""
    value = os.environ.get("UGC_OCR_MODE", "").strip() or MODES[0]
    if value not in MODES:
        raise DataError(f"UGC_OCR_MODE={value}: it is one of {', '.join(MODES)}")
    return value


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Return the row of a clip: its overlap with the reference on 0-1, and that times 100."""
    run = current_run("ocr")
    answer = received(results, run.spec.name).read
    overlap = None if answer.failure else ocr_overlap(answer.text, doc["answer"], mode())
    row = base_row("ocr", doc["video_id"], answer, scored=overlap is not None, wanted=run.wanted)
    row |= {"mode": mode(), "skipped": ""}
    if overlap is None:
        if not answer.failure:
            row["skipped"] = "no list of texts in the answer"
        return row
    measures = {name: overlap[name] for name in MEASURES}
    return {**row, **measures, **columns({"ocr": 100 * overlap["score"]})}

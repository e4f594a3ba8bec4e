"""The functions that ``ugc_videocap_ocr.yaml`` names.

A file of its own, because lmms-eval looks for them beside the YAML.
"""

from __future__ import annotations

import os
from typing import Any

from ugc_tasks.common.files import DataError
from ugc_tasks.lmms.hooks import fields, received
from ugc_tasks.ocr.overlap import ocr_row
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
    run, video_id = current_run("ocr"), doc["video_id"]
    row = ocr_row(
        *(video_id, received(results, "ocr").read, doc["answer"], mode()),
        clip=run.clips.get(video_id),
        wanted=run.wanted,
    )
    return run.keep(row)

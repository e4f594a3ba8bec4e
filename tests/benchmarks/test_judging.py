"""The judge's pace is measured with the real judge against an endpoint that says no when full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import judging


def test_the_report_has_the_pace_of_each_case_and_no_judgment_is_lost(tmp_path: Path) -> None:
    report = judging.main(["--quick"], tmp_path)
    scored = {row.what: row.value for row in report.rows if row.measure == "judgments with scores"}
    assert scored == dict.fromkeys(judging.CASES, 64)
    paces = [row for row in report.rows if row.measure == "clock"]
    assert [row.ratio for row in paces] == pytest.approx([10 * float(row.value) for row in paces])
    failed = [row.value for row in report.rows if row.measure == "requests that failed"]
    assert failed[0] == "none"
    assert "cut off" in str(failed[-1])
    assert json.loads((tmp_path / "judging-quick.json").read_text())["title"] == report.title

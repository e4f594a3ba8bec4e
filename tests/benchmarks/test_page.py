"""The report is measured as a reader has it: made, opened, scrolled."""

from __future__ import annotations

from pathlib import Path

from benchmarks import page
from tests.support.browser import CHROMIUM


def test_size_and_time_of_each_page_are_reported(tmp_path: Path) -> None:
    report = page.main(["--quick"], tmp_path)
    found = {(row.what, row.measure): row.value for row in report.rows}
    cases = [f"{n}, {how} pictures" for n in ("one run", "two runs") for how in ("without", "with")]
    measures = ["made in", "size", "opens in", *(["scrolling"] if CHROMIUM else [])]
    assert list(found) == [(case, measure) for case in cases for measure in measures]
    sizes = [float(found[case, "size"]) for case in cases]
    assert 0.05 < sizes[0] < sizes[1]
    assert sizes[0] < sizes[2] < sizes[3]
    if CHROMIUM:
        assert all(float(found[case, "opens in"]) > 0 for case in cases)
    assert (tmp_path / "page-quick.md").is_file()

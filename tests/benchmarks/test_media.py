"""Reading a clip is measured beside other ways, and a way that is not to be had says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import media
from tests.support.clips import write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("clips") / "clip.mp4", width=160, height=288, seconds=0.5
    )


def test_every_way_is_measured_or_says_what_it_lacks(
    clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(media, "clip_of", lambda *_, **__: clip)
    report = media.main(["--quick"], tmp_path)
    assert report is not None
    assert {row.what.partition(" [")[0] for row in report.rows} == {
        way.__doc__ for way in media.WAYS.values()
    }
    [cost] = [row for row in report.rows if row.what.startswith("read_clip") and row.ratio
              and row.measure == "CPU"]  # fmt: skip
    assert float(cost.value) > 0
    kept = json.loads((tmp_path / "media-quick.json").read_text("utf-8"))
    assert len(kept["rows"]) == len(report.rows)
    assert report.title in (tmp_path / "media-quick.md").read_text("utf-8")


def test_a_way_that_fails_is_a_row_in_words(clip: Path) -> None:
    def broken(_: str) -> None:
        raise OSError("no\nluck")

    assert media.measure(lambda: broken, clip) == {"missing": "failed: OSError: no luck"}

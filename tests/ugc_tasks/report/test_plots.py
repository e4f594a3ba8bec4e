"""Which plots a report has, and what they count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ugc_tasks.report.test_page import PAPER, written
from ugc_tasks.choice.accuracy import choice_row
from ugc_tasks.judge.types import Judgment, Scores, mean_judgment
from ugc_tasks.ocr.overlap import ocr_row
from ugc_tasks.report.charts import Plot
from ugc_tasks.report.plots import bins_of, by_slice, noise_sentence, plots_of
from ugc_tasks.report.top import facts_of
from ugc_tasks.results.answer_text import ModelAnswer
from ugc_tasks.results.compare import compare
from ugc_tasks.results.rows import judged_row
from ugc_tasks.results.scores import ScoreFile, read_scores

SIX = {f"PI-{i}": f"Caption {i}." for i in range(6)}


def plots(*runs: ScoreFile, **slices: Any) -> dict[str, Plot]:
    comparisons = compare(runs[0], runs[1:], slices)
    noise = [facts_of(run).get("noise") for run in runs]
    found = plots_of(runs, comparisons, slices, noise)
    return {plot.title: plot for plot in found}


def saved(folder: Path, rows: Sequence[Any]) -> ScoreFile:
    path = folder / "run.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return read_scores(path)


def test_a_dimension_is_counted_by_the_judges_points_and_the_average_by_ranges(
    tmp_path: Path,
) -> None:
    found = plots(written(tmp_path, "mine", SIX))
    assert found["visual"].rows == [
        ["20", "0"],
        ["40", "0"],
        ["60", "0"],
        ["80", "6"],
        ["100", "0"],
    ]
    assert [row[0] for row in found["average"].rows][:2] == ["20–30", "30–40"]
    assert ["80–90", "6"] in found["average"].rows
    assert found["visual"].caption.startswith("visual: mean 80.0 ±0.0")
    assert ["60", "0", "0", "0", "0", "0"] in found["visual and audio"].rows
    assert ["80", "0", "0", "6", "0", "0"] in found["visual and audio"].rows


@pytest.mark.parametrize(
    ("task", "name", "values", "labels", "places"),
    [
        ("caption", "visual", [20, 100.0], ["20", "40", "60", "80", "100"], [0, 4]),
        ("caption", "visual", [0, 100], ["0 (none)", "20", "40", "60", "80", "100"], [0, 5]),
        ("caption", "audio", [20.0, 29.9, 30.0, 100.0], None, [0, 0, 1, 7]),
        ("caption", "average", [0.0, 20.0], None, [0, 2]),
        ("tone", "tone", [0.0, 100.0], ["wrong", "right"], [0, 1]),
        ("ocr", "ocr", [0.0, 9.99, 10.0, 100.0], None, [0, 0, 1, 9]),
        ("objects", "objects", [0.0, 100.0], None, [0, 9]),
        ("background", "background", [50.0], None, [5]),
    ],
)
def test_every_score_is_in_the_bin_of_its_label(
    task: str, name: str, values: list[float], labels: list[str] | None, places: list[int]
) -> None:
    found, [placed] = bins_of(task, name, [values])
    assert placed == places
    assert labels is None or found == labels
    for value, place in zip(values, placed, strict=True):
        if "–" in found[place]:
            low, high = map(float, found[place].split("–"))
            assert low <= value < high or value == high == 100


def test_runs_that_can_be_compared_share_a_plot_and_their_differences_are_signed(
    tmp_path: Path,
) -> None:
    new, old = written(tmp_path, "new", SIX), written(tmp_path, "old", SIX)
    for i, scores in enumerate(old.clips.values()):
        scores["visual"] = 20.0 * (i % 2 + 1)  # type: ignore[index]
    parts = {"sound": {"silent": ["PI-1", "PI-2"], "with sound": ["PI-3", "PI-4", "PI-9"]}}
    found = plots(new, old, **parts)
    assert found["visual"].head == ("visual, 20 to 100", "new", "old")
    assert found["visual"].rows[:2] == [["20", "0", "3"], ["40", "0", "3"]]
    rows = {row[0]: row for row in found["difference"].rows}
    assert rows["visual"][1] == "+50.0"
    assert rows["audio"][1] == "+0.0"
    assert [row[0] for row in found["average by sound"].rows] == ["silent", "with sound"]
    assert [row[3] for row in found["average by sound"].rows] == ["2", "2"]


def test_runs_of_different_judges_share_no_plot_and_have_no_difference(tmp_path: Path) -> None:
    new, old = written(tmp_path, "new", SIX), written(tmp_path, "old", SIX, label="other")
    found = plots_of([new, old], compare(new, [old]), {}, [None, None])
    titles = [plot.title for plot in found]
    assert titles.count("visual") == 2
    assert "difference" not in titles


def test_parts_of_the_clips_have_their_means(tmp_path: Path) -> None:
    run = written(tmp_path, "mine", SIX)
    for i, scores in enumerate(run.clips.values()):
        scores["average"] = 20.0 * i  # type: ignore[index]
    slices = {
        "sound": {"silent": ["PI-1", "PI-2"], "with sound": ["PI-3", "PI-4", "PI-9"]},
        "tone": {"Positive": ["PI-1", "PI-2"], "Negative": ["PI-3"]},
    }
    [plot] = by_slice(run, slices)
    assert [row[:2] for row in plot.rows] == [["silent", "30.0"], ["with sound", "70.0"]]
    assert [row[2] for row in plot.rows] == ["[0.0, 100.0]"] * 2, "no mean lies beyond"


def test_choices_are_a_confusion_of_label_and_answer(tmp_path: Path) -> None:
    options = ["Positive", "Neutral", "Negative"]
    answers = [("Positive", "Positive"), ("Negative", "Positive"), ("Neutral", "who knows")]
    rows = [
        choice_row(*("tone", f"PI-{i}", ModelAnswer(answer), label, options), clip=None, wanted=3)
        for i, (label, answer) in enumerate(answers)
    ]
    found = plots(saved(tmp_path, rows))
    plot = found["label and answer"]
    assert plot.head == ("label ↓ chosen →", "Negative", "Neutral", "Positive", "no option")
    assert plot.rows == [
        ["Negative", "0", "0", "1", "0"],
        ["Neutral", "0", "0", "0", "1"],
        ["Positive", "0", "0", "1", "0"],
    ]
    assert found["tone"].rows == [["wrong", "2"], ["right", "1"]]
    assert "mean 33.3 [6.1, 79.2]" in found["tone"].caption, "Wilson's"


def test_ocr_is_counted_from_0_to_100(tmp_path: Path) -> None:
    rows = [
        ocr_row(*(f"PI-{i}", ModelAnswer('["hello"]'), text, "score"), clip=None, wanted=2)
        for i, text in enumerate((["hello"], ["another thing"]))
    ]
    plot = plots(saved(tmp_path, rows))["ocr"]
    assert [row[0] for row in plot.rows][::9] == ["0–10", "90–100"]
    assert sum(int(row[1]) for row in plot.rows) == 2
    assert plot.head[0] == "ocr, 0 to 100"


def repeated(folder: Path, clips: Sequence[Sequence[int]]) -> ScoreFile:
    rows = []
    for i, grades in enumerate(clips):
        said = [Judgment("x", Scores(visual=g, audio=3, details=3)) for g in grades]
        rows.append(
            judged_row(
                *("caption", f"PI-{i}", ModelAnswer("A."), mean_judgment(said)),
                judge={"label": PAPER, "estimate": False},
                reference="r",
                clip=None,
                wanted=len(clips),
            )
        )
    return saved(folder, rows)


def test_the_noise_of_a_judge_is_how_far_its_judgments_of_a_clip_lie_apart(tmp_path: Path) -> None:
    found = plots(repeated(tmp_path, [(3, 3), (3, 4), (2, 4)]))
    plot = found["judge's noise"]
    assert plot.head[1:] == ("visual", "audio", "details")
    assert plot.rows == [["0", "1", "3", "3"], ["20", "1", "0", "0"], ["40", "1", "0", "0"]]
    assert "average: 33% of pairs of judgments are the same" in plot.caption
    assert "the mean of these 3 clips would stay within ±" in plot.caption
    assert found["visual"].rows[0][0] == "20–30", "means of repeats are no points"


def test_without_repeats_there_is_no_noise(tmp_path: Path) -> None:
    assert "judge's noise" not in plots(repeated(tmp_path, [(3,), (4,)]))
    values = {"average": {"exact": None, "half_width": None, "clips": 1}}
    assert noise_sentence({"values": values}) == "average: no clip has two judgments."
    values = {"average": {"exact": 0.5, "half_width": None, "clips": 1}}
    assert noise_sentence({"values": values}).endswith("50% of pairs of judgments are the same.")


def test_of_no_score_there_is_no_plot(tmp_path: Path) -> None:
    assert plots(written(tmp_path, "none", {"PI-1": None})) == {}

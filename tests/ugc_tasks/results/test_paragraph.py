"""What a person reads after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ugc_tasks.results.paragraph import paragraph, task_lines

NONE = {"judgments": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0, "without_price": 0}


def facts(**more: Any) -> dict[str, Any]:
    """Return the facts of a caption run of 997 clips, with changes."""
    return {
        "n": 997,
        "of": 999,
        "figures": {"visual": 55.4, "audio": 48.1, "details": 52.7, "average": 52.1},
        "ci95": {
            "visual": [54.5, 56.3],
            "audio": [47.1, 49.1],
            "details": [51.8, 53.6],
            "average": [51.3, 52.9],
        },
        "failures": [],
        "heard": None,
        "flags": None,
        "judge_label": "paper/gpt-4o-2024-08-06/76696f747fe3",
        "spent": {"new": NONE, "stored": NONE},
        **more,
    }


def run(**more: Any) -> dict[str, Any]:
    return {"name": "org/model", "seconds": 2280.0, "tasks": {"ugc_videocap": facts()}, **more}


def test_the_figures_stand_in_reading_order_with_their_intervals() -> None:
    assert task_lines(facts()) == [
        "visual 55.4 ±0.9   audio 48.1 ±1.0   details 52.7 ±0.9   average 52.1 ±0.8   n 997 of 999"
    ]


def test_what_is_not_scored_is_said_with_the_reason() -> None:
    failures = [
        {"video_id": "PI-3f", "kind": "caption", "reason": "cut off after 2.1 s"},
        {"video_id": "PI-77", "kind": "judge", "reason": "content filter"},
    ]
    [_, said] = task_lines(facts(failures=failures))
    assert said == (
        "not scored: 1 without a caption (PI-3f: cut off after 2.1 s), 1 not judged "
        "(PI-77: content filter)"
    )


def test_reasons_are_counted_the_commonest_first() -> None:
    failures = [{"video_id": "PI-1", "kind": "judge", "reason": r} for r in "abbcccdddd"]
    [_, said] = task_lines(facts(failures=failures))
    assert said == "not scored: 10 not judged (d (4); c (3); b (2))"


def test_sound_flags_and_cost_are_one_line() -> None:
    spent = {"new": {**NONE, "judgments": 900, "usd": 2.51}, "stored": {**NONE, "judgments": 97}}
    flags = {"answers": 12, "labels": {"token_limit": 12}}
    heard = {"clips": 941, "not": {"no audio track": 56}}
    [_, said] = task_lines(facts(heard=heard, flags=flags, spent=spent))
    assert said == (
        "sound used in 941, no audio track in 56 · 12 answers cut by the token limit · "
        "$2.51 for 900 judgments, 97 were on disk"
    )


def test_a_price_that_is_not_known_is_not_zero() -> None:
    spent = {"new": {**NONE, "judgments": 2, "usd": None}, "stored": NONE}
    assert task_lines(facts(spent=spent))[1] == "at an unknown price for 2 judgments"


def test_an_estimate_is_called_one_and_no_line_is_too_wide() -> None:
    names = ("visual", "audio", "details", "average")
    figures = {f"{name}_estimate": 21.7 for name in names}
    lines = task_lines(facts(figures=figures, ci95={name: [20.0, 32.6] for name in figures}))
    assert "visual 21.7 [20.0, 32.6]" in lines[0]
    assert "ESTIMATE: no judge was asked" in lines[1]
    assert max(map(len, lines)) <= 96


def test_without_a_score_there_is_no_figure() -> None:
    nothing = dict.fromkeys(("visual", "audio", "details", "average"))
    [line] = task_lines(facts(n=0, figures=nothing, ci95=nothing))
    assert line == "visual -   audio -   details -   average -   n 0 of 999"
    one = {"tone": 100.0}
    assert task_lines(facts(n=1, figures=one, ci95={"tone": None})) == ["tone 100.0   n 1 of 999"]


def test_the_whole_says_model_judge_time_and_where_the_files_are() -> None:
    lines = paragraph(run(), Path("results/org__model"))
    assert lines[1] == "ugc_videocap   org/model   judge paper/gpt-4o-2024-08-06/76696f747fe3"
    assert "38 min" in lines[-2]
    assert "files: results/org__model" in lines[-2]


def test_the_mean_of_the_eight_columns_is_there_or_why_it_is_not() -> None:
    whole = paragraph(run(overall={"value": 50.94, "reason": None}), None)
    assert "mean of the eight published columns   50.9" in whole
    lacks = paragraph(run(overall={"value": None, "reason": "there is no figure for tone"}), None)
    assert "mean of the eight published columns   -   there is no figure for tone" in lacks


def test_names_and_reasons_are_harmless() -> None:
    failures = [{"video_id": "PI\x1b[2J", "kind": "judge", "reason": "a\u202eb"}]
    said = "".join(task_lines(facts(failures=failures)))
    assert "\x1b" not in said
    assert "\u202e" not in said

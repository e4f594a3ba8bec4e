"""How far off an estimate may be, and which captions make it a guess."""

from __future__ import annotations

import json

import pytest

from tests.support.reference import reference_dir
from ugc_tasks.estimate.model import (
    REASONS,
    difference_interval,
    doubts,
    interval,
    load_weights,
    unlike,
)

COLUMNS = ("visual", "audio", "details", "average")
REFERENCE = (
    "A man in a red apron stirs soup in a small kitchen while soft piano music plays. He says "
    "that it needs salt, and the words of a recipe appear at the top of the screen. Then a woman "
    "comes in from the garden with a basket of tomatoes, laughs, and sits down at the table."
)
PROSE = (
    "In a small kitchen a man who wears a red apron is stirring a pot, and a melody on the piano "
    "accompanies him. He speaks to the camera about salt in a calm voice, with the text of a "
    "recipe above his head. A woman enters with vegetables, laughing, before both of them sit at "
    "a wooden table near the window. The light is warm, the colors are soft, and the whole scene "
    "feels like a quiet evening at home that is meant to make the viewer hungry and cheerful."
)

RACE = (
    "Two teams of children race their wooden boats across a frozen lake, and crowds of parents in "
    "heavy coats wave flags from the shore while the referee fires a pistol. The smallest boat "
    "tips over near the finish, its crew slides along the ice, and everybody cheers for the "
    "captain who crawls over the line with a broken mast under one arm. A dog wearing medals runs "
    "after them, barks at the moon, and steals a glove. Later both teams share a bucket of "
    "popcorn, vote for the name of next year's vessel, and go to bed before the storm arrives."
)


@pytest.mark.parametrize("column", COLUMNS)
def test_more_clips_narrow_an_interval_down_to_the_error_of_the_fit(column: str) -> None:
    few, many, endless = (interval(column, 60.0, n) for n in (5, 1000, 10**9))
    assert few[0] < many[0] < endless[0] < 60 < endless[1] < many[1] < few[1]
    assert (endless[1] - endless[0]) / 2 == pytest.approx(load_weights()["spread"][column]["model"])


def test_an_interval_stays_on_the_scale() -> None:
    assert interval("average", 21.0, 1)[0] == 20
    assert interval("average", 99.0, 1)[1] == 100


def test_the_difference_of_two_estimates_is_less_certain_than_either() -> None:
    low, high = difference_interval("average", 2.0, 0.5)
    assert (low + high) / 2 == pytest.approx(2.0)
    assert (high - low) / 2 > load_weights()["spread"]["average"]["model"]


def test_prose_about_the_clip_is_as_usual() -> None:
    assert unlike(PROSE, REFERENCE) == ""


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("A man cooks.", "short"),
        (PROSE * 20, "long"),
        ("He stirs the soup. " * 40, "repetitive"),
        (REFERENCE * 2, "copied"),
        ("kitchen soup apron piano salt " + "tomato garden basket window pot light " * 15,
         "not_prose"),
        ("El hombre cocina una sopa con tomates rojos mientras suena música de piano, luego ella "
         "entra riendo desde el jardín y se sientan juntos frente la ventana grande. " * 4,
         "not_prose"),
        (RACE, "unrelated"),
    ],
)  # fmt: skip
def test_a_caption_unlike_those_fitted_on_is_named_for_it(caption: str, reason: str) -> None:
    assert unlike(caption, REFERENCE) == reason


def test_a_few_odd_captions_give_no_doubt() -> None:
    assert doubts(["short"] + [""] * 99, map(str, range(100))) == []


def test_many_odd_captions_are_reported_with_their_reasons() -> None:
    (told,) = doubts(["short"] * 20 + ["copied"] * 10 + [""] * 70, map(str, range(100)))
    assert "30 of 100 captions" in told
    assert f"20 short ({REASONS['short'][2]}), 10 copied" in told
    assert "estimate" in told


def test_one_caption_for_all_clips_is_reported() -> None:
    (told,) = doubts([""] * 100, [PROSE] * 100)
    assert "100 captions are the same text" in told


def test_no_caption_at_all_gives_no_doubt() -> None:
    assert doubts([], []) == []


@pytest.mark.parametrize(
    "name",
    ["gemini_2.5_flash", "minicpm_captions", "omni_baseline", "UGC_VideoCaptioner_inference"],
)
def test_recorded_captions_are_as_usual(name: str) -> None:
    folder = reference_dir()
    samples = json.loads((folder / "questions" / "final_caption_qa.json").read_text())["samples"]
    answers = {sample["video_id"]: sample["answer"] for sample in samples[:200]}
    rows = map(json.loads, (folder / "captions" / f"{name}.jsonl").read_text().splitlines())
    texts = {r["video_id"]: r["caption"] for r in rows if r["video_id"] in answers}
    reasons = [unlike(text, answers[clip]) for clip, text in texts.items()]
    assert doubts(reasons, texts.values()) == []

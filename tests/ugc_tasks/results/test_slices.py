"""Parts of the clips: what the rows say of them, and what the annotations do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ugc_tasks.data.home import Home
from ugc_tasks.results.scores import ScoreFile, clip_scores
from ugc_tasks.results.slices import slices_of


def run(rows: dict[str, dict[str, Any]]) -> ScoreFile:
    clips = {video_id: clip_scores(60, 60, 60) for video_id in rows}
    return ScoreFile(Path("a"), clips, {}, rows=rows)


def home(root: Path | None, cache: Path) -> Home:
    return Home(root=root, videos=cache, cache=cache, allow_partial=False)


def test_clips_are_parted_by_length_sound_and_words(tmp_path: Path) -> None:
    def row(seconds: Any, sound: Any, words: int) -> dict[str, Any]:
        told = {"seconds": seconds, "sound_seconds": sound}
        return {"generation": told, "prediction": "word " * words}

    rows = {"PI-1": row(9.9, 9.0, 79), "PI-2": row(10, 0.0, 80), "PI-3": row(30, 0, 160),
            "PI-4": row(30.1, 3, 161), "PI-5": row(None, "x", 5)}  # fmt: skip
    found = slices_of([run(rows)], home(None, tmp_path))
    assert found["length of the clip"] == {
        "10 to 30 s": ["PI-2", "PI-3"],
        "over 30 s": ["PI-4"],
        "under 10 s": ["PI-1"],
    }
    assert found["sound"] == {"silent": ["PI-2", "PI-3"], "with sound": ["PI-1", "PI-4"]}
    assert found["length of the caption"] == {
        "80 to 160 words": ["PI-2", "PI-3"],
        "over 160 words": ["PI-4"],
        "under 80 words": ["PI-1", "PI-5"],
    }


def test_what_one_run_does_not_tell_of_a_clip_another_may(tmp_path: Path) -> None:
    silent = run({"PI-1": {}, "PI-2": {"generation": {"seconds": 40}}})
    other = run({"PI-1": {"generation": {"seconds": 5}}})
    found = slices_of([silent, other], home(None, tmp_path))
    assert found["length of the clip"] == {"over 30 s": ["PI-2"], "under 10 s": ["PI-1"]}


def test_a_slice_of_one_part_is_none(tmp_path: Path) -> None:
    rows: dict[str, dict[str, Any]] = {"PI-1": {"generation": {"seconds": 5}}}
    assert slices_of([run(rows)], home(None, tmp_path)) == {}


def test_voice_tone_and_text_on_screen_are_those_of_annotations_that_are_here(
    tmp_path: Path,
) -> None:
    def choice(name: str, labels: list[str]) -> None:
        samples = [
            {"video_id": f"PI-{i}", "answer": label, "options": labels}
            for i, label in enumerate(labels)
        ]
        (tmp_path / name).write_text(json.dumps({"question": "?", "samples": samples}))

    choice("tone.json", ["Positive", "Neutral"])
    (tmp_path / "ocr.jsonl").write_text('{"video_id": "PI-0", "ocr": ["sale"]}')
    (tmp_path / "voice_source.json").write_text("{broken")
    found = slices_of([run({"PI-0": {}, "PI-1": {}})], home(tmp_path, tmp_path))
    assert found == {
        "tone": {"Neutral": ["PI-1"], "Positive": ["PI-0"]},
        "text on screen": {"none": ["PI-1"], "some": ["PI-0"]},
    }

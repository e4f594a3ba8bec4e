"""Annotation files of all tasks, laid out as published, about a few clips (``PI-000``, ...)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VOICES = ["In-Video Voice", "Out-Video Voice", "Narration"]
TONES = ["Positive", "Neutral", "Negative"]


def video_ids(clips: int) -> list[str]:
    """Return the ids of so many clips."""
    return [f"PI-{i:03}" for i in range(clips)]


def write_annotations(folder: Path, clips: int) -> None:
    """Write the nine files.

    The last clip is narrated and negative; all others have a voice in the video and are positive
    (spelled ``positive``, as published). Texts are told apart by file and clip.
    """
    ids = video_ids(clips)
    last = clips - 1
    for stem in ("final_caption_qa", "audio_caption_qa", "visual_caption_qa", "object"):
        _write(folder, stem, [{"answer": f"Reference {i} of {stem}."} for i in range(clips)], ids)
    stem = "back_ground_change_new"
    _write(folder, stem, [{"answer": f"Yes, into room {i}."} for i in range(clips)], ids)
    voices = [VOICES[2] if i == last else VOICES[0] for i in range(clips)]
    _write(folder, "voice_source", [{"options": VOICES, "answer": v} for v in voices], ids)
    tones = ["negative" if i == last else "positive" for i in range(clips)]
    _write(folder, "tone", [{"options": TONES, "answer": tone} for tone in tones], ids)
    _write(folder, "BGM", [{"options": ["Yes", "No"], "answer": "No"} for _ in ids], ids)
    lines = [json.dumps({"video_id": v, "ocr": ocr_texts(i)}) for i, v in enumerate(ids)]
    (folder / "ocr.jsonl").write_text("\n".join(lines) + "\n")


def ocr_texts(clip: int) -> list[str]:
    """Return the texts that are seen in a clip."""
    return [f"sign number {clip}", "open daily"]


def _write(folder: Path, stem: str, samples: list[dict[str, Any]], ids: list[str]) -> None:
    rows = [
        {"video_id": video_id, "path": f"/elsewhere/{video_id}.mp4", **sample}
        for video_id, sample in zip(ids, samples, strict=True)
    ]
    content = {"question": f"What about {stem}?", "valid_count": len(rows), "samples": rows}
    (folder / f"{stem}.json").write_text(json.dumps(content))

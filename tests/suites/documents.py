"""Two small documents for each of some of lmms-eval's own tasks, where the tasks look for theirs.

A task's YAML file and functions are lmms-eval's, unchanged. ``datasets`` takes a folder below the
working directory for a dataset of that name, and lmms-eval downloads nothing where a task's folder
in ``HF_HOME`` is there. Only XMod-Bench names files of a hub, so that its YAML file is included by
one that names others. Of each pair the first is answered rightly by "A", the second wrongly.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from datasets import Dataset, List
from datasets import Image as ImageFeature
from PIL import Image

from tests.support.clips import write_clip

Rows = list[dict[str, Any]]
LETTERS = "ABCD"
CHOICES = ["a cat", "a dog", "a bird", "a fish"]
LETTERED = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, CHOICES, strict=True)]


def lmms_eval_tasks() -> Path:
    spec = find_spec("lmms_eval")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "tasks"


@dataclass(frozen=True)
class Suite:
    """What a task is made of, and what its first answer brings."""

    task: str
    folder: str  # below lmms-eval's tasks
    metric: str
    media: tuple[str, ...]  # kinds in its first request, in order
    score: float  # of two answers "A", of which one is right
    imports: str = ""  # a package that the task needs and this project does not, unused here


SPEAKER = "av_speakerbench"
SUITES = [
    Suite("worldsense", "worldsense", "worldsense_score", ("video",), 50),
    Suite("omni_bench", "omni_bench", "accuracy", ("audio", "image"), 50),
    Suite("mmau_test_mini", "mmau", "accuracy", ("audio",), 50),
    Suite("av_odyssey", "av_odyssey", "av_odyssey_score", ("audio", "image", "image"), 50),
    Suite("av_speakerbench_audiovisual", SPEAKER, f"{SPEAKER}_score", ("video",), 50, "librosa"),
    Suite("xmod_bench_local", "", "xmod_bench_score", ("audio", *["image"] * 4), 50, "soundfile"),
    Suite("mmou_test_mini", "mmou", "mmou_accuracy", ("video",), 50),
    Suite("cgav_counting_long", "cgav_counting", "acc", ("video",), 0.5),
    Suite("cgav_counting_clue", "cgav_counting", "wcs", ("image", "image"), 0),
    Suite("video_holmes", "video_holmes", "video_holmes_accuracy", ("video",), 50),
    Suite("videomme", "videomme", "videomme_perception_score", ("video",), 50),
    Suite("muirbench", "muirbench", "muirbench_score_overall", ("image", "image"), 0.5),
    Suite("gsm8k_cot_zeroshot", "gsm8k", "exact_match", (), 0),
    Suite("voxpopuli_en", "voxpopuli", "wer", ("audio",), 1),
]  # fmt: skip


class Bench:
    """A folder with all that the tasks look for."""

    def __init__(self, folder: Path) -> None:
        self.home, self.work, self.more, self.stubs = (
            folder / name for name in ("home", "work", "more", "stubs")
        )
        for path in (self.home, self.work, self.more, self.stubs):
            path.mkdir(parents=True)
        self.xmod = folder / "xmod"
        self._media = folder / "media"
        self._media.mkdir()
        self._videos = [
            write_clip(self._media / f"{seed}.mp4", seconds=3, seed=seed) for seed in (1, 2)
        ]
        self._sound = _write_wav(self._media / "sound.wav")
        for number, colour in enumerate(("red", "green", "blue", "white")):
            Image.new("RGB", (84, 56 + 14 * number), colour).save(self._media / f"{number}.png")
        self._write()
        for name in ("librosa", "soundfile"):
            (self.stubs / f"{name}.py").write_text(
                '"""Stands in for the library of that name."""\n'
            )

    def include_path(self, suites: Sequence[Suite] = ()) -> list[str]:
        """Return where the YAML files of these tasks are."""
        tasks = lmms_eval_tasks()
        return [str(self.more), *(str(tasks / suite.folder) for suite in suites if suite.folder)]

    def environment(self) -> dict[str, str]:
        return {
            "HF_HOME": str(self.home),
            "HF_DATASETS_CACHE": str(self.home / "datasets"),
            "HF_HUB_OFFLINE": "1",
            "XMODBENCH": str(self.xmod),
        }

    def _image(self, number: int) -> dict[str, Any]:
        return {"bytes": (self._media / f"{number}.png").read_bytes(), "path": None}

    def _audio(self, seed: int) -> dict[str, Any]:
        noise = np.random.default_rng(seed).normal(0, 0.1, 8_000)
        return {"array": noise.astype(np.float32).tolist(), "sampling_rate": 8_000}

    def _video(self, *names: str) -> None:
        """Put the two clips where a task looks for them."""
        for name, clip in zip(names, self._videos, strict=False):
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).symlink_to(clip)

    def _dataset(
        self, name: str, split: str, rows: Rows, config: str = "default", **features: Any
    ) -> None:
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        file = f"{config}-{split}.parquet"
        dataset = Dataset.from_list(rows)
        for column, kind in features.items():
            dataset = dataset.cast_column(column, kind)
        dataset.to_parquet(folder / file)
        card = folder / "README.md"
        known = yaml.safe_load(card.read_text().strip("-\n"))["configs"] if card.exists() else []
        found = next((c for c in known if c["config_name"] == config), None)
        if found is None:
            known.append(found := {"config_name": config, "data_files": []})
        found["data_files"].append({"split": split, "path": file})
        card.write_text(f"---\n{yaml.safe_dump({'configs': known})}---\n")

    def _write(self) -> None:
        common = {"question": "What is shown?", "options": LETTERED, "duration": "short"}
        both = [{**common, "answer": answer} for answer in "AB"]

        self._video("WorldSense/a.mp4", "WorldSense/b.mp4")
        self._dataset("lmms-lab/worldsense", "test", [
            {**row, "index": i, "candidates": LETTERED, "video_path": f"{'ab'[i]}.mp4",
             "task_type": "Event Recognition", "task_domain": "Music", "duration": "<1min",
             "audio_class": ["Music"]} for i, row in enumerate(both)
        ])  # fmt: skip
        self._dataset("lmms-lab-audio/Omni_Bench_fix", "train", [
            {**row, "options": CHOICES, "answer": CHOICES[i], "task type": "Object",
             "audio": self._audio(i), "image": self._image(i)} for i, row in enumerate(both)
        ], image=ImageFeature())  # fmt: skip
        self._dataset("lmms-lab-audio/mmau", "test_mini", [
            {"question": "What is heard?", "choices": json.dumps(CHOICES), "answer": CHOICES[i],
             "task": "sound", "audio": self._audio(i)} for i in range(2)
        ])  # fmt: skip
        odyssey = self.home / "AV_Odyssey"
        odyssey.mkdir()
        (odyssey / "sound.wav").symlink_to(self._sound)
        for number in range(2):
            (odyssey / f"{number}.png").symlink_to(self._media / f"{number}.png")
        self._dataset("AV-Odyssey/AV_Odyssey_Bench_LMMs_Eval", "test", [
            {**row, "question_id": i, "question": "Which one sounds like [audio1]? [img1] [img2]",
             "data_type": "image", "image_path": ["0.png", "1.png"], "video_path": [],
             "audio_path": ["sound.wav"], "subfield": "Timbre"} for i, row in enumerate(both)
        ])  # fmt: skip
        self._video("AV-SpeakerBench/a.mp4", "AV-SpeakerBench/b.mp4")
        self._dataset("plnguyen2908/AV-SpeakerBench", "test", [
            {**row, "choices": str(LETTERED), "audio_visual_path": f"{'ab'[i]}.mp4",
             "question_id": i, "task_id": "speaker"} for i, row in enumerate(both)
        ])  # fmt: skip
        self._video("mmou/videos/test/a.mp4", "mmou/videos/test/b.mp4")
        self._dataset("kcz358/MMOU", "test", [
            {"question_id": i, "question": "What is shown?", "is_test": True,
             "options": json.dumps(dict(zip(LETTERS, CHOICES, strict=True))),
             "correct_option_letter": "AB"[i], "video_id": "ab"[i], "domain": "Music",
             "video_url": "", "video_duration": 3.0} for i in range(2)
        ])  # fmt: skip
        self._video("cgav_counting/cg_videos_720p/a.mp4")
        self._dataset("CG-Bench/CG-AV-Counting", "test", [
            {"index": i, "video": "a.mp4", "question": "How many cats are there?", "answer": i,
             "category": "object", "type": "short", "query_interval": [0.0, 2.0],
             "clue": json.dumps([{"timestamp": t, "bbox": [1, 2, 3, 4]} for t in (0.5, 1.5)])}
            for i in range(2)
        ])  # fmt: skip
        self._holmes()
        self._video("videomme/data/a.mp4", "videomme/data/b.mp4")
        self._dataset("lmms-eval/Video-MME", "test", [
            {**row, "question_id": str(i), "videoID": "ab"[i], "domain": "Knowledge",
             "sub_category": "Astronomy", "task_type": "Action Recognition"}
            for i, row in enumerate(both)
        ])  # fmt: skip
        self._dataset("MUIRBENCH/MUIRBENCH", "test", [
            {**row, "options": CHOICES, "idx": i, "task": "Counting", "image_relation": "Narrative",
             "image_type": "Photography", "image_list": [self._image(i), self._image(i + 1)]}
            for i, row in enumerate(both)
        ], image_list=List(ImageFeature()))  # fmt: skip
        sums = [{"question": f"What is {i} and 1?", "answer": f"#### {i + 1}"} for i in range(6)]
        self._dataset("gsm8k", "train", sums, "main")
        self._dataset("gsm8k", "test", sums[:2], "main")
        self._dataset("facebook/voxpopuli", "test", [
            {"audio": self._audio(i), "normalized_text": "nobody speaks here", "language": 0}
            for i in range(2)
        ], "en")  # fmt: skip
        self._xmod()

    def _holmes(self) -> None:
        folder = self.work / "TencentARC" / "Video-Holmes"
        folder.mkdir(parents=True)
        rows = [{"video ID": "ab"[i], "Question": "Who is it?", "Answer": "AB"[i],
                 "Options": dict(zip(LETTERS, CHOICES, strict=True)), "Question Type": "SR"}
                for i in range(2)]  # fmt: skip
        for split in ("test", "train"):
            (folder / f"{split}_Video-Holmes.json").write_text(json.dumps(rows))
        (self.home / "video_holmes").mkdir()
        # It asks the hub's cache for the folder of its videos.
        repository = "datasets--TencentARC--Video-Holmes"
        self._video(*(f"{repository}/snapshots/0/videos_cropped/{n}.mp4" for n in "ab"))
        (self.home / repository / "refs").mkdir()
        (self.home / repository / "refs" / "main").write_text("0")

    def _xmod(self) -> None:
        self.xmod.mkdir()
        (self.xmod / "sound.wav").symlink_to(self._sound)
        for number in range(4):
            (self.xmod / f"{number}.png").symlink_to(self._media / f"{number}.png")
        options = {
            letter: {"modality": "Image", "input": f"{i}.png"} for i, letter in enumerate(LETTERS)
        }
        rows = [{"question": "Which one sounds like this?", "correct_answer": answer,
                 "conditions": {"modality": "Audio", "input": "sound.wav"}, "options": options,
                 "category": "01_perception/instruments"} for answer in "AB"]  # fmt: skip
        (self.xmod / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = {
            "include": str(lmms_eval_tasks() / "xmod_bench" / "xmod_bench_audio_image.yaml"),
            "task": "xmod_bench_local",
            "dataset_kwargs": {"data_files": str(self.xmod / "rows.jsonl")},
        }
        (self.more / "xmod_bench_local.yaml").write_text(yaml.safe_dump(config))


def _write_wav(path: Path) -> Path:
    sound = np.random.default_rng(3).normal(0, 3_000, 22_050).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 22_050, 0, "NONE", ""))
        file.writeframes(sound.tobytes())
    return path

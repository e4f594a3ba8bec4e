"""A benchmark of five clips: files, scripts and digests, in place of the published ones."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping

import pyarrow as pa
import pytest
from pyarrow import parquet

from ugc_tasks.data import annotations as annotation_files
from ugc_tasks.data import collect, coverage, official, prepare, published
from ugc_tasks.data.official import COMMIT, REPOSITORY, OfficialText
from ugc_tasks.data.published import GITHUB_COMMIT, GITHUB_FOLDER, GITHUB_REPO, PublishedFile

IDS = [f"PI-{n:08x}-0000-4000-8000-000000000000" for n in range(1, 6)]
SCRIPT, PROMPT = b'PROMPT = "Judge " + "this."\n', "Judge this."


def samples(ids: list[str]) -> bytes:
    """Return an annotation file about these clips."""
    rows = [{"video_id": i, "answer": "yes", "path": f"/x/{i}.mp4"} for i in ids]
    return json.dumps({"question": "What happens?", "samples": rows}).encode()


def table(rows: list[dict[str, object]]) -> bytes:
    """Return a Parquet file."""
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


HUB = {
    "final_caption_qa.json": samples(IDS[:4]),
    "tone.json": samples(IDS[:2]),
    "ocr.jsonl": b"".join(b'{"video_id": "%s", "ocr": []}\n' % i.encode() for i in IDS),
    "meta.parquet": table([{"video": i, "words": 7} for i in IDS]),
    "video_urls.txt": b"".join(
        b"https://www.tiktok.com/@a/video/747917977018255287%d\n" % n for n in range(5)
    ),
}
GITHUB = {"BGM.json": samples(IDS[:3])}
TASKS = {
    "final_caption_qa.json": "ugc_videocap",
    "tone.json": "ugc_videocap_tone",
    "ocr.jsonl": "ugc_videocap_ocr",
    "BGM.json": "ugc_videocap_bgm",
}


def raw_pages() -> Mapping[str, bytes]:
    """Return what the authors' repository has, by path."""
    pages = {f"/{REPOSITORY}/{COMMIT}/judge.py": SCRIPT}
    for name, content in GITHUB.items():
        pages[f"/{GITHUB_REPO}/{GITHUB_COMMIT}/{GITHUB_FOLDER}/{name}"] = content
    return pages


def install(patch: pytest.MonkeyPatch) -> None:
    """Put this benchmark in the place of the published one."""
    files = {
        name: PublishedFile(
            name,
            "github" if name in GITHUB else "hub",
            hashlib.sha256(content).hexdigest() if name in TASKS else None,
            TASKS.get(name),
        )
        for name, content in (HUB | GITHUB).items()
    }
    texts = {
        "judge": OfficialText(
            "judge",
            "judge.py",
            "PROMPT",
            hashlib.sha256(PROMPT.encode()).hexdigest(),
            hashlib.sha256(SCRIPT).hexdigest(),
        )
    }
    for module in (published, annotation_files, collect, coverage, prepare):
        patch.setattr(module, "FILES", files)
    for module in (official, collect, prepare):
        patch.setattr(module, "OFFICIAL_TEXTS", texts)

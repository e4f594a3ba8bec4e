"""A benchmark of five clips: files, scripts and digests, in place of the published ones."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pytest
from pyarrow import parquet

from ugc_tasks.data import prepare, published
from ugc_tasks.data.published import FILES, PublishedFile

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
}
GITHUB = {"BGM.json": samples(IDS[:3])}


def pages() -> Mapping[str, bytes]:
    """Return what the Hub and the authors' repository have, by path."""
    files = {"/" + FILES[name].path: content for name, content in (HUB | GITHUB).items()}
    return files | {"/judge.py": SCRIPT}


def install(patch: pytest.MonkeyPatch) -> None:
    """Put this benchmark in the place of the published one."""
    files = {
        name: replace(FILES[name], sha256=sha256(content) if FILES[name].sha256 else "")
        for name, content in (HUB | GITHUB).items()
    }
    name = "prompts/judge.txt"
    files[name] = PublishedFile(
        name, "github", "authors@123", "judge.py", sha256(PROMPT.encode()), sha256(SCRIPT)
    )
    for module in (published, prepare):
        patch.setattr(module, "FILES", files)


def sha256(content: bytes) -> str:
    """Return the digest as it is published."""
    return hashlib.sha256(content).hexdigest()

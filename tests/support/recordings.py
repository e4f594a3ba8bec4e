"""Four models' captions and judgments, in the place of those that the authors recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.published import sha256
from tests.support.web_host import Answer, WebHost
from ugc_tasks.bridge import plan, recorded
from ugc_tasks.cli import bridge as command
from ugc_tasks.data import published

MODELS = ("one", "two", "three", "four")


def captions(model: int, ids: Sequence[str]) -> bytes:
    rows = [{"video_id": i, "caption": f"caption {n} of {model}"} for n, i in enumerate(ids)]
    return "\n".join(map(json.dumps, rows)).encode()


def judgments(model: int, ids: Sequence[str]) -> bytes:
    names = ("visual_score", "audio_score", "details_score")
    clips = {
        i: dict.fromkeys(names, min(5, 1 + (n + 3 * model) % 4 + (model > 1)))
        for n, i in enumerate(ids)
    }
    return json.dumps({"evaluations": clips}).encode()


def write_judgments(folder: Path, ids: Sequence[str]) -> None:
    folder.mkdir()
    for number, model in enumerate(MODELS):
        (folder / f"{model}_4o.json").write_bytes(judgments(number, ids))


def install(patch: pytest.MonkeyPatch, host: WebHost, ids: Sequence[str]) -> None:
    """Put these recordings on the host, and in the place of the authors'."""
    some = next(iter(published.RECORDED.values()))
    files = {}
    for number, model in enumerate(MODELS):
        content = {"captions": captions(number, ids), "scores": judgments(number, ids)}
        files[model] = {
            kind: replace(
                some[kind],
                name=f"{kind}/{model}.json",
                path=f"x/{kind}/{model}",
                sha256=sha256(body),
            )
            for kind, body in content.items()
        }
        for kind, body in content.items():
            host.add(f"/x/{kind}/{model}", Answer(body))
    for module in (published, recorded, plan, command):
        patch.setattr(module, "RECORDED", files)
    patch.setenv("UGC_VIDEOCAP_RAW_ENDPOINT", host.endpoint)
    patch.delenv("HF_HUB_OFFLINE", raising=False)

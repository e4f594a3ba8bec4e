"""The whole command with Gemini: killed while it answers, and run again to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gemini_server import KEY, MODEL, Call, GeminiServer, reply
from tests.support.judge_server import Act
from ugc_tasks.sample import sample_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ANSWERED_BEFORE_THE_KILL = 3


def test_a_run_that_was_killed_goes_on_and_says_what_failed_and_what_it_cost(
    tmp_path: Path,
) -> None:
    home = sample_home()
    clips = {path.read_bytes(): path.stem for path in home.rglob("*.mp4")}
    blocked = sorted(clips.values())[0]
    asked: list[str] = []

    def script(call: Call) -> Act | None:
        if call.kind != "generate":
            return None
        address = call.parts[-1]["fileData"]["fileUri"]
        clip = clips[server.files["files/" + address.rpartition("/")[2]].content]
        asked.append(clip)
        if clip == blocked:
            return reply("half of it", "SAFETY")
        return Act(body=None) if len(asked) == ANSWERED_BEFORE_THE_KILL + 1 else None

    with GeminiServer(script) as server:
        command = [
            *(sys.executable, "-m", "lmms_eval", "--tasks", "ugc_videocap"),
            *(
                "--model",
                "gemini_video",
                "--model_args",
                f"model={MODEL},preset=paper,concurrency=1",
            ),
            *("--output_path", str(tmp_path / "results"), "--log_samples"),
        ]
        environment = {
            **os.environ,
            **server.environment(),
            "UGC_VIDEOCAP_HOME": str(home),
            "UGC_VIDEOCAP_CACHE": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "huggingface"),
            "UGC_JUDGE_PROFILE": "offline",
        }

        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

        killed = start()
        try:
            server.wait_for("generate", ANSWERED_BEFORE_THE_KILL + 1)
        finally:
            os.killpg(killed.pid, signal.SIGKILL)
        output, _ = killed.communicate(timeout=60)
        done = {clip for clip in asked[:ANSWERED_BEFORE_THE_KILL] if clip != blocked}
        assert len(server.files) >= 1, output[-3000:]

        asked.extend([""] * ANSWERED_BEFORE_THE_KILL)  # nothing hangs from here on
        first = len(asked)
        said, _ = start().communicate(timeout=600)
        assert not server.files, said[-3000:]
        assert sorted(asked[first:]) == sorted(set(clips.values()) - done)

    [results] = (tmp_path / "results").glob("*/*_results.json")
    whole = json.loads(results.read_text("utf-8"))
    spent = whole["gemini_video"]
    assert spent["versions"] == {MODEL: len(clips) - len(done)}
    assert spent["usd"] > 0
    [samples] = (tmp_path / "results").glob("*/*_samples_ugc_videocap.jsonl")
    rows = {row["video_id"]: row for row in map(json.loads, samples.read_text().splitlines())}
    assert {video for video, row in rows.items() if row["failure"]} == {blocked}
    assert "SAFETY" in json.dumps(rows[blocked])
    assert "half of it" not in samples.read_text("utf-8")
    assert all(row["heard"] for video, row in rows.items() if video != blocked)
    assert KEY not in output + said
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path

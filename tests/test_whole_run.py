"""The whole command, as a user types it: lmms-eval, the real engine, a judge over HTTP.

One evaluation is killed while its judge is thinking, and the same command is run again on the same
folders. One clip is broken, one clip's judge talks nonsense, and the endpoint misbehaves on the
way. The answers that it saved are scored once more by the console script, with the same store.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import model_args
from tests.support.judge_server import Act, Asked, JudgeServer, cut_off, hang, scores, status, text
from ugc_models.testing.tiny_omni import build_tiny_omni
from ugc_tasks.sample import sample_home

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

KEY = "sk-canary-0123456789abcdef"
ANSWERED_BEFORE_THE_KILL = 3


@dataclass
class Bench:
    """A folder with data, a checkpoint, and a judge to talk to."""

    folder: Path
    server: JudgeServer
    ids: list[str]
    profile: str
    output: str = field(default="")

    @property
    def broken(self) -> str:
        """The clip of which only the first half is there."""
        return self.ids[3]

    @property
    def unjudgeable(self) -> str:
        """The clip whose judge never answers in the form it was asked for."""
        return self.ids[5]

    def start(self, *more: str, **environ: str) -> subprocess.Popen[str]:
        """Start the command in a process group of its own."""
        command = [
            *(sys.executable, "-m", "lmms_eval", "--tasks", "ugc_videocap"),
            *("--model", "qwen_omni_vllm"),
            *("--model_args", self._model_args()),
            # Greedy and in float32: the same captions in every run, so that what is asked of the
            # judge is the same too.
            *("--gen_kwargs", "max_new_tokens=16,temperature=0"),
            *("--output_path", str(self.folder / "results"), "--log_samples", *more),
        ]
        return subprocess.Popen(
            command,
            env={**self._environment(), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "UGC_VIDEOCAP_HOME": str(self.folder / "home"),
            "UGC_VIDEOCAP_CACHE": str(self.folder / "cache"),
            "HF_HOME": str(self.folder / "huggingface"),
            "UGC_JUDGE_PROFILE": self.profile,
            "OPENAI_BASE_URL": self.server.base_url,
            "OPENAI_API_KEY": KEY,
        }

    def _model_args(self) -> str:
        # One caption after another: the judge is to be asked before the last is made.
        return model_args(self.folder / "tiny-omni", frames=8, max_pixels=12544, max_in_flight=1)

    def run(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Run the command to its end; return the task's results and its samples by id."""
        process = self.start()
        said, _ = process.communicate(timeout=300)
        self.output += said
        results = sorted((self.folder / "results").glob("*/*_results.json"))
        assert results, said[-3000:]
        rows = [json.loads(line) for line in self.samples().read_text().splitlines()]
        whole = json.loads(results[-1].read_text())
        return whole, {row["video_id"]: row for row in rows}

    def samples(self) -> Path:
        """The newest file of samples."""
        return sorted((self.folder / "results").glob("*/*_samples_ugc_videocap.jsonl"))[-1]

    def facts(self) -> dict[str, Any]:
        """The facts that stand beside the newest results."""
        newest = sorted((self.folder / "results").glob("*/*_run.json"))[-1]
        facts: dict[str, Any] = json.loads(newest.read_text("utf-8"))
        return facts

    def score(self) -> dict[str, Any]:
        """Score the saved answers by the console script; return what it prints."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ugc_tasks.cli.main", "score", "caption"),
                *(str(self.samples()), "--json"),
            ],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.output += done.stderr
        assert done.returncode == 3, done.stderr[-3000:]  # the broken clip is not scored
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def stored(self) -> int:
        """How many replies are on disk."""
        store = self.folder / "cache" / "judgments.sqlite3"
        if not store.exists():
            return 0
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM reply").fetchone()[0])
            except sqlite3.OperationalError:  # made, and still without its tables
                return 0

    def captions(self) -> int:
        """How many captions are on disk."""
        (store,) = (self.folder / "cache").rglob("captions.sqlite3")
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM captions").fetchone()[0])

    def asked(self, since: int = 0) -> list[str]:
        """The ids that the judge was asked about, a name a request."""
        users = [request.user for request in self.server.requests[since:]]
        return [video_id for user in users for video_id in self.ids if video_id in user]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The bundled clips in a home of their own, one of them cut in half."""
    folder = tmp_path_factory.mktemp("whole-run")
    home = folder / "home"
    shutil.copytree(sample_home() / "videos", home / "videos")
    shutil.copy(sample_home() / "final_caption_qa.json", home)
    samples = json.loads((home / "final_caption_qa.json").read_text())["samples"]
    build_tiny_omni(folder / "tiny-omni")
    official = Path(__file__).parents[2] / "shared" / "reference" / "prompts"
    if official.is_dir():
        shutil.copytree(official, home / "prompts")
    with JudgeServer([hang()]) as server:
        bench = Bench(
            folder,
            server,
            [sample["video_id"] for sample in samples],
            profile="paper" if official.is_dir() else "rubric",
        )
        clip = home / "videos" / f"{bench.broken}.mp4"
        clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
        yield bench


@dataclass(frozen=True)
class Killed:
    """What a run had done when it was killed: whose judgments are on disk, how many captions.

    ``captions_at_first`` of them were there when the judge was asked for the first time.
    """

    judged: list[str]
    captions: int
    captions_at_first: int


@pytest.fixture(scope="module")
def killed(bench: Bench) -> Killed:
    """Kill a run as soon as a few judgments are on disk. It may still be making captions then."""
    there: list[int] = []

    def answer_a_few(asked: Asked) -> Act:
        there.append(bench.captions())
        return scores(5, 4, 3) if asked.number < ANSWERED_BEFORE_THE_KILL else hang()

    bench.server.script = answer_a_few
    process = bench.start()
    try:
        deadline = time.monotonic() + 300
        while bench.stored() < ANSWERED_BEFORE_THE_KILL:
            assert process.poll() is None, process.communicate()[0][-3000:]
            assert time.monotonic() < deadline, "no judgment reached the disk"
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    answered = [r for r in bench.server.requests if r.number < ANSWERED_BEFORE_THE_KILL]
    judged = [video_id for r in answered for video_id in bench.ids if video_id in r.user]
    return Killed(judged, bench.captions(), there[0])


@pytest.fixture(scope="module")
def resumed(
    bench: Bench, killed: Killed
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[str]]:
    """Run the same command again; return results, samples, and what the judge was asked."""
    assert killed.judged

    def misbehave(asked: Asked) -> Act:
        if bench.unjudgeable in asked.user:
            return text("I would rather talk about the weather. {'visual': 9}")
        first = {0: status(500), 1: cut_off(), 2: status(429, headers={"Retry-After": "0"})}
        if asked.seen == 0 and (fault := first.pop(asked.number % 4, None)):
            return fault
        return scores(5, 4, 3)

    bench.server.script = misbehave
    before = len(bench.server.requests)
    results, samples = bench.run()
    return results, samples, bench.asked(before)


Resumed = tuple[dict[str, Any], dict[str, dict[str, Any]], list[str]]


def test_the_first_caption_is_judged_before_the_last_is_made(killed: Killed) -> None:
    assert 0 < killed.captions_at_first < 7  # eight, one broken


def test_a_resumed_run_asks_for_no_judgment_that_is_on_disk(
    killed: Killed, resumed: Resumed
) -> None:
    assert len(killed.judged) == ANSWERED_BEFORE_THE_KILL
    assert not set(killed.judged) & set(resumed[2])


def test_every_clip_is_scored_or_counted_as_failed(bench: Bench, resumed: Resumed) -> None:
    row = resumed[0]["results"]["ugc_videocap"]
    assert row["n,none"] == 6
    assert row["failure,none"] == {"caption": 1, "judge": 1}
    assert row["coverage,none"] == pytest.approx(6 / 8)
    facts = bench.facts()["tasks"]["ugc_videocap"]
    assert facts["heard"] == {"clips": 6, "not": {"no audio track": 1, "no answer": 1}}
    assert [(each["video_id"], each["kind"]) for each in facts["failures"]] == [
        (bench.broken, "caption"),
        (bench.unjudgeable, "judge"),
    ]


def test_a_failure_is_in_no_mean(resumed: Resumed) -> None:
    row = resumed[0]["results"]["ugc_videocap"]
    means = {name: row[f"{name},none"] for name in ("visual", "audio", "details", "average")}
    assert not [name for name, value in row.items() if value == []], "metrics alone"
    assert means == {"visual": 100, "audio": 80, "details": 60, "average": 80}


def test_the_results_state_what_the_numbers_rest_on(bench: Bench, resumed: Resumed) -> None:
    stated = resumed[0]["configs"]["ugc_videocap"]
    facts = bench.facts()
    checkpoint = facts["model_args"].split("model=")[1].split(",")[0]
    assert facts["name"] == Path(checkpoint).name
    label = facts["tasks"]["ugc_videocap"]["judge_label"]
    assert label.startswith(f"{bench.profile}/gpt-4o-2024-08-06/")
    assert facts["tasks"]["ugc_videocap"]["spent"]["new"]["usd"] > 0
    assert f"ugc_videocap   {facts['name'][:20]}" in bench.output
    assert "average 80.0 ±0.0   n 6 of 8" in bench.output
    assert stated["metadata"]["judge"]["temperature"] == (1 if bench.profile == "paper" else 0)
    assert len(stated["metadata"]["judge"]["prompt_sha256"]) == 64
    assert stated["metadata"]["clips_wanted"] == 8
    assert {"lmms-eval", "ugc-videocap", "transformers"} <= set(stated["metadata"]["packages"])
    assert stated["generation_kwargs"] == {"temperature": 0, "max_new_tokens": 16, "until": []}


def test_captions_that_were_made_before_the_kill_are_not_made_again(
    killed: Killed, resumed: Resumed
) -> None:
    throughput = resumed[0]["throughput"]
    assert ANSWERED_BEFORE_THE_KILL <= killed.captions <= 7  # eight, one broken
    assert throughput["avg_answers_stored"] == killed.captions
    assert (throughput["total_gen_tokens"] == 0) is (killed.captions == 7)


def test_the_samples_carry_scores_reply_and_failure(bench: Bench, resumed: Resumed) -> None:
    samples = resumed[1]
    assert set(samples) == set(bench.ids)
    good = samples[bench.ids[0]]
    assert (good["visual"], good["audio"], good["details"]) == (100, 80, 60)
    assert "'visual': 5" in good["judge"]["judgments"][0]["reply"]
    assert good["clip"] == str(bench.folder / "home" / "videos" / f"{bench.ids[0]}.mp4")
    assert good["score"] == pytest.approx(0.8)
    assert good["token_counts"][0]["output_tokens"] > 0
    nonsense = samples[bench.unjudgeable]
    assert nonsense["visual"] is nonsense["score"] is None
    assert "weather" in nonsense["judge"]["judgments"][0]["reply"]
    assert nonsense["failure"]["kind"] == "judge"
    broken = samples[bench.broken]
    assert broken["visual"] is None
    assert broken["failure"]["kind"] == "caption"
    assert re.search("cannot be read|cut off", broken["failure"]["reason"])
    assert {tuple(sample) for sample in samples.values()} == {tuple(good)}


def test_a_clip_without_a_caption_is_never_sent_to_the_judge(
    bench: Bench, resumed: Resumed
) -> None:
    assert bench.broken not in bench.asked()


def test_what_was_judged_is_not_asked_again_by_the_console_script_and_what_failed_is(
    bench: Bench, resumed: Resumed
) -> None:
    bench.server.script = [scores(1, 1, 1)]
    before = len(bench.server.requests)
    said = bench.score()
    assert bench.asked(before) == [bench.unjudgeable]
    assert (said["n"], said["failed"]) == (7, 1)
    assert [i["failure"]["kind"] for i in said["items"] if i["failure"]] == ["caption"]
    assert said["metrics"]["visual"] == pytest.approx((6 * 100 + 20) / 7)


def test_past_its_judge_s_end_what_is_judged_is_shown_and_no_caption_is_made(
    bench: Bench, resumed: Resumed
) -> None:
    model = "gpt-4o-2024-08-06"
    bench.server.models[model] = {"id": model, "shutdown_date": "2026-11-21"}
    requests, captions = len(bench.server.requests), bench.captions()
    found: list[tuple[str, int]] = []
    for more in (("--limit", "3"), ("--gen_kwargs", "max_new_tokens=15,temperature=0")):
        process = bench.start(*more, UGC_JUDGE_TODAY="2026-11-28")
        said, _ = process.communicate(timeout=300)
        found.append((said, len(list((bench.folder / "results").glob("*/*_results.json")))))
    (shown, results), (stopped, afterwards) = found
    assert "n 3 of 8" in shown, shown[-3000:]
    assert f"{model} was shut down on 2026-11-21: choose another judge" in stopped
    assert "8 of 8 answers are not on disk, and none is made" in stopped
    assert afterwards == results
    assert (len(bench.server.requests), bench.captions()) == (requests, captions)


@pytest.mark.long
def test_with_predict_only_no_judge_is_asked(bench: Bench, resumed: Resumed) -> None:
    before = len(bench.server.requests)
    process = bench.start("--predict_only")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    assert len(bench.samples().read_text().splitlines()) == 8
    assert len(bench.server.requests) == before


def test_the_key_is_nowhere(bench: Bench, resumed: Resumed) -> None:
    assert all(r.authorization == f"Bearer {KEY}" for r in bench.server.requests)
    assert KEY not in bench.output
    for path in bench.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path

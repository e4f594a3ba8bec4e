"""Judging that is killed again and again: nothing is paid for twice but what was on the wire.

A campaign is one command with one store. It is started, killed at a random point, and started again
until all judgments are there; then the next campaign begins with an empty store. Every other one
judges by the batch. The key is a canary: it is looked for in every file, all output and the list of
processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import judge_server as act
from tests.support.batch_server import BatchServer
from tests.support.judge_server import Act, Asked

pytestmark = pytest.mark.timeout(6 * 3600)

SHORT = 6
CLIPS = 40
AT_ONCE = 8
CANARY = "sk-canary-7b0e4f19c2d8a635"
_ROOT = Path(__file__).resolve().parents[2]
_WORKER = _ROOT / "tests" / "ugc_tasks" / "judge" / "worker.py"

Rows = set[tuple[str, int, str, float]]


@dataclass
class Kill:
    """One run: what was stored before and after, and what was paid for meanwhile."""

    before: Rows
    after: Rows
    paid: Counter[str]
    exit: int
    scores: dict[str, int] | None = None


@dataclass
class Campaign:
    """Runs on one store, of which the last one was not killed."""

    folder: Path
    batch: bool
    runs: list[Kill] = field(default_factory=list)
    paid: Counter[str] = field(default_factory=Counter)
    by_batch: Counter[str] = field(default_factory=Counter)

    @property
    def store(self) -> Path:
        return self.folder / "judgments.sqlite3"

    def rows(self) -> Rows:
        """Return the replies on disk."""
        if not self.store.exists():
            return set()
        with sqlite3.connect(f"file:{self.store}?mode=ro", uri=True) as db:
            query = "SELECT video_id, attempt, text, created_at FROM reply"
            try:
                return set(db.execute(query).fetchall())
            except sqlite3.OperationalError:  # killed before there was a table
                return set()


def clip(asked: Asked) -> str:
    return asked.user.splitlines()[0].removeprefix("Sample ID: ")


class Scene:
    """The server, and what it was paid for, by clip."""

    def __init__(self, server: BatchServer) -> None:
        self.server = server
        self.paid: Counter[str] = Counter()
        self.by_batch: Counter[str] = Counter()
        self.latency = random.Random(0)
        server.rules.looks = 3
        server.script = self.answer

    def answer(self, asked: Asked) -> Act:
        chance = self.latency.random()
        if chance < 0.1:
            return act.too_many("0") if chance < 0.05 else act.status(500)
        self.paid[clip(asked)] += 1
        single = bool(asked.authorization)
        delay = self.latency.uniform(0.01, 0.08) if single else 0.0
        if not single:
            self.by_batch[clip(asked)] += 1
        number = int(clip(asked).rpartition("-")[2])
        return act.scores(1 + number % 5, 3, 3, delay=delay)


@pytest.fixture(scope="module")
def campaigns(
    rounds: Callable[[int], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Campaign]]:
    folder = tmp_path_factory.mktemp("judging")
    done: list[Campaign] = []
    with BatchServer() as server:
        scene, kills = Scene(server), 0
        while kills < rounds(SHORT):
            campaign = Campaign(folder / f"{len(done)}", batch=len(done) % 2 == 1)
            campaign.folder.mkdir()
            scene.paid.clear()
            scene.by_batch.clear()
            while kills < rounds(SHORT) and len(campaign.rows()) < CLIPS:
                campaign.runs.append(_run(scene, campaign, random.Random(kills)))
                kills += 1
            campaign.runs.append(_run(scene, campaign, None))
            campaign.paid = Counter(scene.paid)
            campaign.by_batch = Counter(scene.by_batch)
            done.append(campaign)
        yield done


def _run(scene: Scene, campaign: Campaign, seed: random.Random | None) -> Kill:
    """Run to the end, or with ``seed`` to some point after the first exchange with the server."""
    server, before, paid = scene.server, campaign.rows(), Counter(scene.paid)
    seen = len(server.requests) + len(server.exchanges)
    mode = "batch" if campaign.batch else "request"
    environment = {"PYTHONPATH": str(_ROOT), "WORKER_MODE": mode, "OPENAI_API_KEY": CANARY}
    with (campaign.folder / f"{len(campaign.runs)}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(_WORKER), server.base_url, str(campaign.store), str(CLIPS),
             str(AT_ONCE)],
            env=os.environ | environment, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        if seed is not None:
            while len(server.requests) + len(server.exchanges) == seen and process.poll() is None:
                time.sleep(0.002)
            assert CANARY not in _processes()
            time.sleep(seed.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=240)
    (campaign.folder / f"{len(campaign.runs)}.out").write_text(out)
    while server.at_once:  # what a killed run had sent is paid for all the same
        time.sleep(0.01)
    scores = json.loads(out.splitlines()[-1]) if process.returncode == 0 else None
    return Kill(before, campaign.rows(), Counter(scene.paid) - paid, process.returncode, scores)


def _processes() -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(lines)


def test_as_many_were_killed_as_were_to_be(
    campaigns: list[Campaign], rounds: Callable[[int], int]
) -> None:
    started = [run for campaign in campaigns for run in campaign.runs[:-1]]
    assert len(started) == rounds(SHORT)
    killed = [run for run in started if run.exit == -signal.SIGKILL]
    assert any(0 < len(run.after) < CLIPS for run in killed), "no kill came in the middle"


def test_what_is_stored_stays_as_it_is(campaigns: list[Campaign]) -> None:
    for campaign in campaigns:
        for run in campaign.runs:
            assert run.before <= run.after


def test_nothing_that_is_stored_is_paid_for_again(campaigns: list[Campaign]) -> None:
    for campaign in campaigns:
        for run in campaign.runs:
            assert not {name for name, *_ in run.before} & set(run.paid)


def test_nothing_is_paid_for_twice_but_what_was_on_the_wire_when_a_run_was_killed(
    campaigns: list[Campaign],
) -> None:
    for campaign in campaigns:
        if campaign.batch:
            continue
        for run in campaign.runs:
            lost = sum(run.paid.values()) - (len(run.after) - len(run.before))
            assert max(run.paid.values(), default=1) == 1
            assert 0 <= lost <= (0 if run.exit == 0 else AT_ONCE)


def test_nothing_is_paid_for_twice_by_the_batch_whatever_is_killed(
    campaigns: list[Campaign],
) -> None:
    """Its replies wait at the server. Lines that failed there are asked for one by one."""
    for campaign in campaigns:
        if not campaign.batch:
            continue
        assert campaign.by_batch, "there was a batch"
        assert max(campaign.by_batch.values()) == 1
        kills = sum(run.exit != 0 for run in campaign.runs)
        assert sum(campaign.paid.values()) - CLIPS <= AT_ONCE * kills


def test_in_the_end_every_clip_has_its_own_scores(campaigns: list[Campaign]) -> None:
    for campaign in campaigns:
        final = campaign.runs[-1]
        assert final.scores == {f"clip-{n}": 1 + n % 5 for n in range(CLIPS)}
        assert {name for name, *_ in final.after} == set(final.scores)


def test_the_key_is_in_no_file_and_no_output(campaigns: list[Campaign]) -> None:
    files = [path for c in campaigns for path in c.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".sqlite3", ".log", ".out", ".lock"}
    for path in files:
        content = path.read_bytes()
        assert CANARY.encode() not in content, path
        assert CANARY[3:].encode() not in content, path

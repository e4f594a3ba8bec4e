"""``accelerate launch`` with two processes: clips are shared out, and the results are those of one.

The real command on the bundled clips, once with one process and once with two, each time with an
empty store; all of them ask one server, and what reaches it is counted.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_lmms_eval import link_small_lmms_eval
from tests.support.vllm_server import KEY, VllmServer
from tests.support.wiretap import Wiretap
from ugc_tasks.sample import sample_home

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

TASK = "ugc_videocap"
TOKENS = 23
LIMIT = 7
"""An odd number: lmms-eval gives the shorter share one of its requests twice, to make it even."""
RANKS = 2
# accelerate's own --cpu starts one process only; this way its launcher for several GPUs starts them
# where there are none.
LAUNCH = [
    *("accelerate", "launch", "--multi_gpu", "--num_processes", str(RANKS), "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]
_SHARE = re.compile(r"Additional metrics: requests: (\d+),[^\n]* rank: (\d+)")


@dataclass
class Done:
    """A command that has ended."""

    said: str
    results: dict[str, Any]
    samples: dict[str, dict[str, Any]]
    stored: dict[str, tuple[str, float]]
    asked: int

    @property
    def captions(self) -> dict[str, str]:
        """The captions by clip, as they stand in the samples file."""
        return {name: row["filtered_resps"] for name, row in self.samples.items()}


class Bench:
    """Runs the command, alone or on two ranks, in a folder of its own."""

    def __init__(self, folder: Path, checkpoint: Path, more: dict[str, Any]) -> None:
        self._folder = folder
        self._small = link_small_lmms_eval(folder / "small")
        model = {"model": checkpoint, "frames": 8, "max_pixels": 12 * 28 * 28, "seed": 42, **more}
        self._model = ",".join(f"{name}={value}" for name, value in model.items())

    def run(self, ranks: int, count: Callable[[], int] = lambda: 0) -> Done:
        """Run it to its end with an empty store."""
        folder = self._folder / str(ranks)
        launch = [str(Path(sys.executable).with_name(LAUNCH[0])), *LAUNCH[1:]]
        store = folder / "captions.sqlite3"
        before = count()
        command = [
            *(launch if ranks > 1 else [sys.executable]),
            *("-m", "lmms_eval", "--tasks", TASK, "--limit", str(LIMIT)),
            *("--model", "qwen_omni_vllm", "--model_args", f"{self._model},store={store}"),
            *("--gen_kwargs", f"max_new_tokens={TOKENS}"),
            *("--output_path", str(folder / "results"), "--log_samples"),
        ]
        done = subprocess.run(
            command,
            env={
                **os.environ,
                "PYTHONPATH": str(self._small),
                "ACCELERATE_USE_CPU": "true",
                "UGC_VIDEOCAP_HOME": str(sample_home()),
                "UGC_VIDEOCAP_CACHE": str(folder / "cache"),
                "UGC_JUDGE_PROFILE": "offline",
                "HF_HOME": str(folder / "huggingface"),
                "VLLM_API_KEY": KEY,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        results = list((folder / "results").glob("*/*_results.json"))
        assert len(results) == 1, done.stdout[-5000:]
        [samples] = (folder / "results").glob(f"*/*_samples_{TASK}.jsonl")
        rows = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
        assert len(rows) == len({row["video_id"] for row in rows})
        with closing(sqlite3.connect(store)) as file:
            stored = file.execute("SELECT key, text, made_at FROM captions").fetchall()
        return Done(
            done.stdout,
            json.loads(results[0].read_text("utf-8")),
            {row["video_id"]: row for row in rows},
            {key: (text, at) for key, text, at in stored},
            count() - before,
        )


@pytest.fixture(scope="module")
def tap(vllm_server: VllmServer) -> Iterator[Wiretap]:
    vllm_server.wait()
    # The adapter's own question at its start asks for another number of tokens.
    pattern = re.compile(rb'"max_(?:completion_)?tokens": ?(%d)\b' % TOKENS)
    with Wiretap(vllm_server.url, pattern) as tap:
        yield tap


@pytest.fixture(scope="module")
def bench(checkpoint: Path, tap: Wiretap, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("ranks"), checkpoint, {"base_url": tap.url})


@pytest.fixture(scope="module")
def alone(bench: Bench, tap: Wiretap) -> Done:
    return bench.run(1, lambda: len(tap.noted))


@pytest.fixture(scope="module")
def shared(bench: Bench, tap: Wiretap) -> Done:
    return bench.run(RANKS, lambda: len(tap.noted))


def test_captions_are_those_of_one_process(alone: Done, shared: Done) -> None:
    assert len(alone.captions) == LIMIT
    assert all(alone.captions.values())
    assert shared.captions == alone.captions
    # lmms-eval strips what it writes down.
    stored = [text.strip() for text, _ in shared.stored.values()]
    assert sorted(stored) == sorted(alone.captions.values())


def test_so_are_the_results(alone: Done, shared: Done) -> None:
    one, two = (done.results["results"][TASK] for done in (alone, shared))
    assert one["n,none"] == LIMIT
    # Sums over ranks have another order.
    assert {k: v for k, v in two.items() if not isinstance(v, float)} == {
        k: v for k, v in one.items() if not isinstance(v, float)
    }
    floats = {k: v for k, v in one.items() if isinstance(v, float)}
    assert {k: two[k] for k in floats} == pytest.approx(floats, rel=1e-12)


def test_so_is_what_is_said_of_each_clip(alone: Done, shared: Done) -> None:
    for name, row in alone.samples.items():
        for key in ("token_counts", "visual", "audio", "details", "failure"):
            assert shared.samples[name].get(key) == row.get(key), (name, key)


def test_no_clip_is_captioned_twice(alone: Done, shared: Done) -> None:
    assert alone.asked == shared.asked == LIMIT


def test_both_keep_their_captions_in_one_store(alone: Done, shared: Done) -> None:
    assert len(shared.stored) == LIMIT
    assert shared.stored.keys() == alone.stored.keys()


def test_each_rank_has_its_share(alone: Done, shared: Done) -> None:
    assert {rank: clips for clips, rank in _SHARE.findall(alone.said)} == {"0": "7"}
    assert {rank: clips for clips, rank in _SHARE.findall(shared.said)} == {"0": "4", "1": "3"}

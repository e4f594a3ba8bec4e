"""The main job on the bundled clips, on a CPU: ``python -m ugc_tasks.sample.demo``.

Makes a random checkpoint of one megabyte, runs the real ``lmms-eval`` command on it with the real
vLLM engine and the free offline estimate, and checks what came of it: lmms-eval exits with 0 also
when the evaluation failed. What the programs say goes into a file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import say
from ugc_tasks.results.paragraph import task_lines
from ugc_tasks.sample import sample_home

# Quick on two cores; a GPU wants none of these. See docs/options.md.
MODEL_ARGS = {
    "dtype": "float32",
    "max_model_len": 8192,
    "max_num_seqs": 4,
    "enforce_eager": True,
    "kv_cache_memory_bytes": 128 << 20,
    "skip_mm_profiling": True,
    "enable_prefix_caching": False,
}
ENVIRONMENT = {
    "UGC_JUDGE_PROFILE": "offline",
    "HF_HUB_OFFLINE": "1",  # everything is on this disk
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
MAX_NEW_TOKENS = 64  # the benchmark's own 1024 would be a quarter of an hour of noise
_LAST_LINES = 15  # of the log, where a step failed


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 only if every bundled clip got a caption and an estimate."""
    parser = argparse.ArgumentParser(
        prog="python -m ugc_tasks.sample.demo",
        description="Caption and score the bundled clips with a random checkpoint on the CPU.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-results"), help="folder (default: %(default)s)"
    )
    output: Path = parser.parse_args(arguments).output
    output.mkdir(parents=True, exist_ok=True)
    log, checkpoint = output / "demo.log", output / "tiny-omni"
    say("ugc-videocap demo: 8 bundled clips, a random 1 MB checkpoint, the free estimate")
    log.write_text("", "utf-8")

    build = [sys.executable, "-m", "ugc_models.testing.tiny_omni", str(checkpoint)]
    seconds, failed = _step(build, log, {})
    if failed:
        return _fail("no checkpoint could be made", log)
    say(_line("checkpoint", str(checkpoint), seconds))

    started = time.time()
    seconds, _ = _step(_evaluation(output, checkpoint), log, _environment(output))
    found = sorted(output.glob("*/*_run.json"), key=lambda path: path.stat().st_mtime)
    if not found or found[-1].stat().st_mtime < started - 1:
        return _fail("lmms-eval wrote no results", log)
    facts, report = json.loads(found[-1].read_text("utf-8")), output / "report.html"
    all_scored = _say_results(facts, seconds)
    if _step(_report(found[-1].parent, report), log, _environment(output))[1]:
        return _fail("no report could be made", log)
    say(f"  Look at it:   {report}", f"  Full log:     {log}")
    return 0 if all_scored else _fail("not every clip was scored", log)


def _report(folder: Path, report: Path) -> list[str]:
    return [sys.executable, "-m", "ugc_tasks.cli.main", "report", str(folder), "-o", str(report)]


def _evaluation(output: Path, checkpoint: Path) -> list[str]:
    model_args = {"model": checkpoint.absolute(), **MODEL_ARGS}
    return [
        *(sys.executable, "-m", "lmms_eval"),
        *("--tasks", "ugc_videocap"),
        *("--model", "qwen_omni_vllm"),
        *("--model_args", ",".join(f"{k}={v}" for k, v in model_args.items())),
        *("--gen_kwargs", f"max_new_tokens={MAX_NEW_TOKENS}"),
        *("--output_path", str(output.absolute())),
        "--log_samples",
    ]


def _environment(output: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("UGC_")}
    cache = output.absolute() / "cache"
    folders = {
        "UGC_VIDEOCAP_HOME": str(sample_home()),
        "UGC_VIDEOCAP_CACHE": str(cache),
        "HF_HOME": str(cache / "huggingface"),
    }
    return ours | ENVIRONMENT | folders


def _step(command: Sequence[str], log: Path, environment: dict[str, str]) -> tuple[float, bool]:
    """Run a command whose output goes to the log; return its seconds and whether it failed."""
    started = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        print("$", *command, file=file, flush=True)
        done = subprocess.run(
            command, check=False, stdout=file, stderr=file, env=environment or None
        )
    return time.monotonic() - started, done.returncode != 0


def _say_results(facts: dict[str, Any], seconds: float) -> bool:
    """Say what a run came to and what it is worth; return whether every clip was scored."""
    task = facts["tasks"]["ugc_videocap"]
    wanted, heard = task["of"], task["heard"]
    captions = wanted - sum(failure["kind"] == "caption" for failure in task["failures"])
    sound = f", sound used in {heard['clips']}" if heard else ""
    why = (
        ", ".join(f"{reason} in {count}" for reason, count in heard["not"].items()) if heard else ""
    )
    said = f"{captions} of {wanted}{sound}" + (f" ({why})" if why else "")
    say(_line("captions", said, seconds))
    say(_line("scores", "estimated from the texts, no judge was asked"), "")
    say(*(f"  {line}" for line in task_lines({**task, "heard": None, "flags": None})))
    say("  The checkpoint is random: these captions are noise. Every part works; for a number see")
    say('  README, "A real run".', "")
    return bool(task["n"] == wanted)


def _line(step: str, said: str, seconds: float | None = None) -> str:
    time_taken = "" if seconds is None else f"{seconds:4.0f} s"
    return f"  {step:<11} {said:<58}{time_taken}".rstrip()


def _fail(why: str, log: Path) -> int:
    lines = log.read_text("utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    say(*(f"  | {line}" for line in lines), f"FAILED: {why}; the whole log is {log}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

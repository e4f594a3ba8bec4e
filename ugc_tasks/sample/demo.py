"""The main job on the bundled clips, on a CPU: ``python -m ugc_tasks.sample.demo``.

Makes a random checkpoint of one megabyte, runs the real ``lmms-eval`` command on it with the real
vLLM engine and the free offline estimate, and checks the results file: lmms-eval exits with 0 also
when the evaluation failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ugc_tasks.sample import sample_home

# Quick on two cores; a GPU wants none of these. See the README's table of options.
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


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 only if every bundled clip got a caption and an estimate."""
    parser = argparse.ArgumentParser(
        prog="python -m ugc_tasks.sample.demo",
        description="Caption and score the bundled clips with a random checkpoint on the CPU.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-results"), help="folder (default: %(default)s)"
    )
    output = parser.parse_args(arguments).output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    started = time.time()

    checkpoint = output / "tiny-omni"
    _say(f"1/2  a random checkpoint in {checkpoint}")
    build = [sys.executable, "-m", "ugc_models.testing.tiny_omni", str(checkpoint)]
    if subprocess.run(build, check=False).returncode:
        return 1

    model_args = {"model": checkpoint, **MODEL_ARGS}
    command = [
        *(sys.executable, "-m", "lmms_eval"),
        *("--tasks", "ugc_videocap"),
        *("--model", "qwen_omni_vllm"),
        *("--model_args", ",".join(f"{k}={v}" for k, v in model_args.items())),
        *("--gen_kwargs", f"max_new_tokens={MAX_NEW_TOKENS}"),
        *("--output_path", str(output)),
        "--log_samples",
    ]
    _say("2/2  " + " ".join(command[2:]))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("UGC_")}
    folders = {
        "UGC_VIDEOCAP_HOME": str(sample_home()),
        "UGC_VIDEOCAP_CACHE": str(output / "cache"),
        "HF_HOME": str(output / "cache" / "huggingface"),
    }
    subprocess.run(command, check=False, env=ours | ENVIRONMENT | folders)
    return _conclude(output, started)


def _conclude(output: Path, started: float) -> int:
    """Read the results file of this run and say what it is worth."""
    wanted = len(json.loads((sample_home() / "final_caption_qa.json").read_text())["samples"])
    files = sorted(output.glob("*/*_results.json"), key=lambda path: path.stat().st_mtime)
    if not files or files[-1].stat().st_mtime < started - 1:
        _say("FAILED: lmms-eval wrote no results file; its messages are above.")
        return 1
    row: dict[str, Any] = json.loads(files[-1].read_text())["results"]["ugc_videocap"]
    scored = row.get("n,none")
    _say(f"Results:  {files[-1]}")
    for samples in sorted(files[-1].parent.glob("*_samples_ugc_videocap.jsonl"))[-1:]:
        _say(f"Captions: {samples}")
    _say(f"{scored} of {wanted} clips captioned and scored in {time.time() - started:.0f} s.")
    if scored != wanted:
        _say(f"FAILED: {wanted} clips were to be scored; the captions' file says what went wrong.")
        return 1
    _say(
        "The weights are random: the captions are noise, and the scores above are the offline\n"
        "estimate for them. They mean nothing but that every part works. The README says how to\n"
        "get a number: a GPU, the real checkpoint, and GPT-4o as the judge."
    )
    return 0


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

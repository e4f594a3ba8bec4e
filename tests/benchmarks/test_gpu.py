"""The script for a GPU machine, in little: the same steps on the real engine, on a processor."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import gpu_busy

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.engine
@pytest.mark.timeout(900)
@pytest.mark.long
def test_it_measures_ours_and_the_loop_on_the_real_engine(tmp_path: Path) -> None:
    few = ["--tiny", "--clips", "3", "--loop", "2", "--tokens", "8", "--out", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *few],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "gpu-tiny.json").read_text("utf-8"))["rows"]
    rates = {row["what"]: row["value"] for row in rows if row["measure"] == "rate"}
    assert len(rates) == 3
    assert all(rate > 0 for rate in rates.values())
    assert rows[-1]["what"].startswith("decoding alone")
    assert rows[-1]["what"] in ran.stdout


@pytest.mark.engine
@pytest.mark.timeout(900)
@pytest.mark.long
def test_ours_and_the_loops_over_it_write_the_same_captions(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only=pipeline", "--quick", f"--out={tmp_path}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "pipeline-quick.json").read_text("utf-8"))["rows"]
    assert len([row for row in rows if row["measure"] == "rate"]) == 3


def test_arguments_of_the_engine_that_are_no_json_are_exit_code_2() -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--tiny", "--engine", "max_num_seqs"])
    assert ended.value.code == 2


def test_the_driver_is_asked_for_as_long_as_work_lasts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 100\necho 50\ntouch $0.asked\nexec sleep 60\n", "ascii")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with gpu_busy() as busy:
        while not (tmp_path / "nvidia-smi.asked").exists():
            time.sleep(0.01)
    assert busy == [100.0, 50.0]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with gpu_busy() as busy:
        pass
    assert busy == []


@pytest.mark.long
def test_the_checkpoint_has_the_parameters_of_a_3b_model_and_its_encoders(tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoProcessor
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker

    folder = gpu.write_checkpoint(tmp_path)
    config = AutoConfig.from_pretrained(folder).thinker_config
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Thinker(config).state_dict().items()}

    def billions(*parts: str) -> float:
        return sum(math.prod(s) for name, s in shapes.items() if name.startswith(parts)) / 1e9

    assert billions("model.", "lm_head") == pytest.approx(3.4, abs=0.05)
    assert billions("visual.") == pytest.approx(0.67, abs=0.02)
    assert billions("audio_tower.") == pytest.approx(0.64, abs=0.02)
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert len(tokenizer) == gpu.VOCABULARY
    assert config.video_token_index == tokenizer.convert_tokens_to_ids("<|VIDEO|>")

"""The script for a GPU machine, in little: the same steps on the real engine, on a processor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_busy import GpuBusy

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.engine
@pytest.mark.timeout(900)  # it imports vLLM in three processes, one after the other
@pytest.mark.long
def test_it_measures_every_part_on_the_real_engine_and_names_the_bottleneck(
    tmp_path: Path,
) -> None:
    few = ["--tiny", "--clips", "3", "--loop", "1", "--out", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *few, "renderer_num_workers=2"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads((tmp_path / "gpu-tiny.json").read_text("utf-8"))["rows"]
    rates = {row["what"]: row["value"] for row in rows if row["measure"] == "rate"}
    assert len(rates) == 5
    assert all(rate > 0 for rate in rates.values())
    assert rows[-1]["what"] == "bottleneck"
    assert rows[-1]["value"] in ran.stdout


def test_a_checkpoint_that_the_engine_refuses_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(plan: gpu.Plan, arguments: dict[str, object]) -> None:
        assert plan.clips == 9
        assert arguments == {"max_num_seqs": 2, "dtype": "float32"}
        raise RuntimeError("no memory")

    monkeypatch.setattr(gpu, "run", refuse)
    assert gpu.main(["--tiny", "--clips", "9", "max_num_seqs=2", "dtype=float32"]) == 1
    assert "gpu: RuntimeError: no memory" in capsys.readouterr().err


def test_an_argument_without_a_value_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--tiny", "max_num_seqs"])
    assert ended.value.code == 2


def test_the_share_of_busy_time_is_the_mean_of_what_the_driver_says() -> None:
    says = iter([100.0, 50.0])
    with GpuBusy(lambda: next(says, 75.0)) as busy:
        while len(busy._seen) < 2:
            pass
    assert busy.mean == pytest.approx(75.0)

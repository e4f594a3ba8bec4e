"""What is said of the installed vLLM, in a process without our corrections."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.engine
def test_the_faults_of_the_installed_vllm_are_found_and_each_is_known() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.upstream"],
        check=True,
        capture_output=True,
        text=True,
        timeout=400,
    ).stdout
    assert said.count("vLLM against transformers") == 2
    assert said.count("refused: use_audio_in_video requires equal number of audio and video") == 2
    assert "not interleaved" in said
    assert said.count("are others beside a long sound") == 1
    assert "was not read yet" not in said

"""Settings of the whole suite: the real engine, small and quick, and no network."""

from __future__ import annotations

import os

# Before anything imports vLLM or huggingface_hub. In process, the engine starts in seconds; the
# tests that need its worker processes set this themselves.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# A developer's own settings must not decide what the tests see.
for _name in [name for name in os.environ if name.startswith(("UGC_VIDEOCAP_", "UGC_JUDGE_"))]:
    del os.environ[_name]
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "UGC_OMNI_POSITIONS"):
    os.environ.pop(_name, None)

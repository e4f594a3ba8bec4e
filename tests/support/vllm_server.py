"""A real ``vllm serve`` on loopback that can be killed and started again.

The CPU build of vLLM has another package name, with which its ``vllm`` command does not start; the
module behind ``vllm serve`` does.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

KEY = "only-for-the-tests"

_QUICK = [
    *("--dtype", "float32", "--max-model-len", "8192", "--max-num-seqs", "4", "--enforce-eager"),
    *("--kv-cache-memory-bytes", str(64 << 20), "--skip-mm-profiling"),
    *("--disable-log-stats", "--disable-uvicorn-access-log"),
    *("--distributed-executor-backend", "uni"),  # one process less to start
    # A CPU's random generator cannot be rewound, which a prompt in pieces asks for.
    "--no-enable-chunked-prefill",
    # Random weights that may put white space between the tokens of a JSON reply do so for ever.
    *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
]
_NEEDED = [
    *("--limit-mm-per-prompt", '{"video": 64, "audio": 64, "image": 256}'),
    *("--mm-processor-cache-gb", "0", "--trust-request-mm-kwargs"),
]
"""What this project's README asks of a server."""


class VllmServer:
    """Serves a checkpoint under the name ``tiny``; it asks for :data:`KEY`.

    Args:
        checkpoint: folder.
        log: file for its output.
    """

    def __init__(self, checkpoint: Path, log: Path) -> None:
        self._log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--model", str(checkpoint), "--served-model-name", "tiny"),
            *_NEEDED,
            *_QUICK,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        environment = {**os.environ, "VLLM_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
        environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, timeout: float = 280) -> None:
        """Return when it is ready.

        Raises:
            RuntimeError: it ended, or takes too long; with the end of its log.
        """
        give_up = time.monotonic() + timeout
        while time.monotonic() < give_up:
            if self._process is None or self._process.poll() is not None:
                break
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            time.sleep(0.3)
        raise RuntimeError(f"vllm serve is not ready:\n{self._log.read_text('utf-8')[-3000:]}")

    def kill(self) -> None:
        """End it and all its processes at once, as a machine that loses power."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> VllmServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

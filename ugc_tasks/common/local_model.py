"""A language model on this machine: its files, and a ``vllm serve`` of our own to ask it.

The program is vLLM's, and knows nothing of us. Between it and this process stands a small one
(:func:`watch`, this module as a program), the head of a process group: it ends vLLM, with all its
processes, when it is told to and as soon as this process is gone, however that went.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ugc_tasks.common.display import UserError, shown

PREFIX = "local:"
KEY = secrets.token_hex(16)
"""What the server of this process asks for: nobody else on this machine is to use it."""

_OF_HUB = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[^@/\s]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_START_S, _POLL_S, _END_S = 1800.0, 0.3, 10.0
_PARENT_POLL_S = 0.5
_SAMPLE = 1 << 20  # bytes at both ends of a file
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b: *(.+)|error: (.+)")
_LOG_END = 64 << 10
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt")


class LocalModelError(UserError, ValueError):
    """The model cannot be served here; the message says why, and what to do."""


# ---- its files ----


@dataclass(frozen=True)
class LocalModel:
    """A model by its files; ``label`` tells it from any other, wherever they lie."""

    name: str  # on the Hub; of a folder, its path
    revision: str | None  # None: a folder

    @classmethod
    def named(cls, text: str) -> LocalModel:
        """Return the model that ``local:ORG/NAME@REVISION`` or ``local:FOLDER`` names.

        Raises ``LocalModelError`` where the revision is no commit, or the folder no model.
        """
        name = text.removeprefix(PREFIX)
        if name.startswith(("/", "./", "../", "~")):
            folder = Path(name).expanduser().absolute()
            if not (folder / "config.json").is_file():
                raise LocalModelError(f"{PREFIX}{folder}: is no model: there is no config.json")
            return cls(str(folder), None)
        found = _OF_HUB.fullmatch(name)
        if found is None:
            raise LocalModelError(
                f"{PREFIX}{name}: names no model; it is {PREFIX}ORG/NAME@REVISION, as on the Hub, "
                f"or {PREFIX}/a/folder"
            )
        if not _COMMIT.fullmatch(found["revision"] or ""):
            here = _commits_here(found["name"])
            raise LocalModelError(
                f"{PREFIX}{name}: needs the commit that it is pinned to, 40 hexadecimal digits "
                f"after @ (branches and tags move): https://huggingface.co/{found['name']}/commits/"
                f"main lists them{', and this machine has ' + ', '.join(here) if here else ''}"
            )
        return cls(found["name"], found["revision"])

    @functools.cached_property
    def label(self) -> str:
        """Name and commit; of a folder its name, and a digest of what is in it."""
        if self.revision is not None:
            return f"{PREFIX}{self.name}@{self.revision}"
        folder, digest = Path(self.name), hashlib.sha256()
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            size = path.stat().st_size
            digest.update(json.dumps([path.name, size]).encode())
            with path.open("rb") as file:  # weights are too long to be read whole at every start
                digest.update(file.read(_SAMPLE))
                file.seek(max(0, size - _SAMPLE))
                digest.update(file.read(_SAMPLE))
        return f"{PREFIX}{folder.name}@{digest.hexdigest()[:12]}"

    def folder(self) -> Path:
        """Return where its files are; raises ``LocalModelError`` where some are missing."""
        if self.revision is None:
            if not _is_whole(Path(self.name)):
                raise LocalModelError(f"{PREFIX}{self.name}: weights are missing in this folder")
            return Path(self.name)
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(self.name, "config.json", revision=self.revision)
        folder = Path(config).parent if isinstance(config, str) else None
        if folder is None or not _is_whole(folder):
            raise LocalModelError(
                f"the weights of {self.name} are not on this machine, or not all of them: "
                f"hf download {self.name} --revision {self.revision}"
            )
        return folder


def _is_whole(folder: Path) -> bool:
    """Tell whether the weights are there: all files that an index names, or any without one."""
    for index in folder.glob("*.index.json"):
        with suppress(ValueError, LookupError, AttributeError, TypeError):
            named = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
            return all((folder / name).is_file() for name in named)
    return any(path.is_file() for pattern in _WEIGHTS for path in folder.glob(pattern))


def _commits_here(name: str) -> list[str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    return sorted(path.name for path in folder.iterdir())[:3] if folder.is_dir() else []


# ---- its server ----


class ModelServer:
    """``vllm serve`` of a model, started when it is first needed; use it from any thread.

    There is one of a model in a process, for all who :meth:`acquire` it. It ends when the last of
    them has released it.
    """

    _all: dict[tuple[LocalModel, tuple[str, ...]], ModelServer] = {}  # noqa: RUF012
    _guard = threading.Lock()

    def __init__(self, model: LocalModel, arguments: tuple[str, ...]) -> None:
        self._model, self._arguments = model, arguments
        self._users = 0
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._log: Path | None = None
        self._released = False

    @classmethod
    def acquire(cls, model: LocalModel, arguments: Sequence[str]) -> ModelServer:
        """Return the server of this process for ``model``, with more ``arguments`` for vLLM."""
        with cls._guard:
            key = (model, tuple(arguments))
            server = cls._all.setdefault(key, cls(*key))
            server._users += 1
            return server

    def release(self) -> None:
        """Have no more use of it; the last one ends it."""
        with self._guard:
            self._users -= 1
            if self._users:
                return
            self._all.pop((self._model, self._arguments), None)
            self._released = True
        failed = self._process is not None and self._process.poll() is not None
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2 * _END_S)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._log is not None and not failed:
            self._log.unlink(missing_ok=True)

    def url(self, given_up: Callable[[], bool], say: Callable[[str], None]) -> str:
        """Return the address of its API once it answers; start it if that was not done.

        ``say`` is told that it starts. Raises ``LocalModelError`` where it ends instead, takes too
        long, or ``given_up`` says that nobody waits any more.
        """
        with self._starting:
            if self._process is None:
                command = self._command()
                self._start(command)
                say(f"{self._model.label} is started on this machine; its log is {self._log}")
            give_up = time.monotonic() + _START_S
            while not self._answers():
                if why := self.why_ended():
                    raise LocalModelError(why)
                if given_up() or self._released or time.monotonic() > give_up:
                    raise LocalModelError(f"{self._model.label} was not ready; see {self._log}")
                time.sleep(_POLL_S)
            return f"{self._url}/v1"

    def why_ended(self) -> str:
        """Return why it does not run any more, empty while it does."""
        if self._process is None or self._process.poll() is None or self._released:
            return ""
        return (
            f"the server of {self._model.label} has ended ({_last_error(self._log)}); its log is "
            f"{self._log}; UGC_JUDGE_LOCAL_ARGS has arguments for vllm serve"
        )

    def _command(self) -> list[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self._url = f"http://127.0.0.1:{port}"
        return [
            # The files themselves: tokenizer, template and weights are then all of that commit.
            *_program(str(self._model.folder())),
            *("--served-model-name", self._model.label, "--host", "127.0.0.1", "--port", port),
            # What a model's authors recommend is for conversation: penalties, sampling.
            *("--seed", "0", "--generation-config", "vllm"),
            *self._arguments,
        ]

    def _start(self, command: Sequence[str]) -> None:
        descriptor, log = tempfile.mkstemp(prefix="ugc-local-model-", suffix=".log")
        self._log = Path(log)
        quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}  # no network
        environ = {**os.environ, **quiet, "VLLM_API_KEY": KEY}
        with os.fdopen(descriptor, "wb") as out:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", __name__, str(os.getpid()), *command],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for us
            )

    def _answers(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with suppress(OSError), direct.open(f"{self._url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


def _program(model: str) -> list[str]:
    """Return how ``vllm serve`` is started here.

    A build of vLLM under another package's name lacks what its command asks for at the start; the
    module behind the command does not.
    """
    beside = Path(sys.executable).with_name("vllm")
    try:
        importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec("vllm") is not None:
            module = "vllm.entrypoints.openai.api_server"
            return [sys.executable, "-m", module, "--model", model]
    program = str(beside) if beside.exists() else shutil.which("vllm")
    if program is None:
        raise LocalModelError(
            "a model on this machine needs vLLM, and there is no program vllm: install it "
            "(pip install vllm), or name another judge in UGC_JUDGE_MODEL"
        )
    return [program, "serve", model]


def _last_error(log: Path | None) -> str:
    """Return what a log says last of an error."""
    try:
        content = b"" if log is None else log.read_bytes()[-_LOG_END:]
    except OSError:
        content = b""
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    found = [match[0] for match in map(_ERROR.search, lines) if match]
    # The first names the cause; those after it say that something else failed with it.
    return shown(found[0] if found else (lines or ["it said nothing"])[-1], 200)


# ---- the process between ----


def watch(parent: int, command: Sequence[str]) -> None:
    """Run ``command`` until it ends, this process is told to, or ``parent`` is gone."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    child = subprocess.Popen(command)  # noqa: S603
    while child.poll() is None and os.getppid() == parent and not told.is_set():
        with suppress(subprocess.TimeoutExpired):
            child.wait(_PARENT_POLL_S)
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_END_S)
    os.killpg(0, signal.SIGKILL)  # whatever it has started, and this process


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2:])

"""Settings of the whole suite: the real engine, small and quick, and no network."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from hypothesis import HealthCheck, settings

from tests.support.tables import receive, tables_of

if TYPE_CHECKING:
    from tests.support.captioning import Nursery
    from tests.support.vllm_server import VllmServer
    from tests.support.wiretap import Wiretap

# Before anything imports vLLM or huggingface_hub. One process for the engine, where vLLM on a CPU
# takes two by default, each with an import of its own.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# A developer's own settings must not decide what the tests see.
for _name in [
    name for name in os.environ if name.startswith(("UGC_VIDEOCAP_", "UGC_JUDGE_", "AZURE_OPENAI_"))
]:
    del os.environ[_name]
# Nor may the day: judges have a last one (docs/options.md).
os.environ["UGC_JUDGE_TODAY"] = "2026-06-01"
# Nor may captions that an earlier run stored.
_FOLDER = Path(tempfile.mkdtemp(prefix="ugc-tests-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ["UGC_VIDEOCAP_CACHE"] = str(_FOLDER)
# Each HTTP client reads all the certificates there are, thousands of times in a run. No address of
# the tests needs any.
os.environ["SSL_CERT_FILE"] = str(_FOLDER / "certificates.pem")
(_FOLDER / "certificates.pem").write_text(
    certifi.contents().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
)
for _name in ("OPENAI_API_KEY", "VLLM_API_KEY", "OPENAI_BASE_URL", "UGC_OMNI_POSITIONS"):
    os.environ.pop(_name, None)

# A shell has what it starts in the background ignore Ctrl-C, and so would every command that the
# tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _ctrl_c_as_before() -> Iterator[None]:
    """Undo what judges of a module's tests made Ctrl-C do in this process."""
    before = signal.getsignal(signal.SIGINT), sys.excepthook
    yield
    signal.signal(signal.SIGINT, before[0])
    sys.excepthook = before[1]


# How fast the machine is decides nothing, and each run of the suite tries the same examples.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("suite")


# Files whose tests start processes, read many clips or try thousands of texts: not for the inner
# loop (``make quick``). Single tests elsewhere have the mark themselves.
_SLOW = (
    "benchmarks",
    "docs/test_commands.py",
    "drawing",
    "soak",
    "test_configs.py",
    "test_gemini_run.py",
    "test_interrupted_judging.py",
    "test_local_judge.py",
    "test_ranks.py",
    "test_whole_run.py",
    "ugc_models/decoding",
    "ugc_models/engine/server/test_remote.py",
    "ugc_models/engine/test_local_by_hand.py",
    "ugc_models/engine/test_positions.py",
    "ugc_models/media",
    "ugc_models/run/test_pipeline.py",
    "ugc_models/run/test_backend.py",
    "ugc_models/test_gemini_video.py",
    "ugc_models/test_qwen_omni_by_hand.py",
    "ugc_models/test_tiny_omni.py",
    "ugc_tasks/choice/test_matching.py",
    "ugc_tasks/common/test_local_model.py",
    "ugc_tasks/cli/test_bundles.py",
    "ugc_tasks/cli/test_judgments.py",
    "ugc_tasks/cli/test_main.py",
    "ugc_tasks/cli/test_prepare.py",
    "ugc_tasks/cli/test_score.py",
    "ugc_tasks/data/test_archive.py",
    "ugc_tasks/data/test_check.py",
    "ugc_tasks/data/test_clips.py",
    "ugc_tasks/judge/protocol/test_sanitize.py",
    "ugc_tasks/judge/test_batch.py",
    "ugc_tasks/judge/test_cache.py",
    "ugc_tasks/judge/test_check.py",
    "ugc_tasks/judge/test_hosts.py",
    "ugc_tasks/judge/test_judge.py",
    "ugc_tasks/judge/test_parsing_objects.py",
    "ugc_tasks/judge/test_repeats.py",
    "ugc_tasks/judge/test_resume.py",
    "ugc_tasks/judge/test_troubles.py",
    "ugc_tasks/judge/transport",
    "ugc_tasks/lmms",
    "ugc_tasks/ocr/test_overlap.py",
    "ugc_tasks/results/test_replay.py",
    "ugc_tasks/results/test_replay_run.py",
    "ugc_tasks/submit",
    "ugc_tasks/test_group.py",
    "ugc_tasks/test_linear_time.py",
    "ugc_tasks/test_register.py",
    "ugc_tasks/test_terminal.py",
)


# Files whose tests share a server, and those that share an engine, which take long to start. The
# one that kills its server, and needs an engine beside it, is among the latter.
_SERVER = (
    "test_ranks.py",
    "soak/test_kills.py",
    "ugc_models/test_qwen_omni_ctrl_c.py",
    "ugc_models/test_store_full_disk.py",
    "ugc_tasks/judge/test_vllm_serve.py",
)
_ENGINE = (
    "ugc_models/engine/server/test_vllm_serve.py",
    "ugc_models/engine/test_parity.py",
    "ugc_models/engine/test_positions.py",
    "ugc_models/engine/test_local.py",
    "ugc_models/test_config_presets.py",
    "ugc_models/test_qwen_omni_vllm.py",
)
_SHARED = {"vllm_server", "shared_engine", "piecewise_engine"}
_LONG = (
    "ugc_models/engine/test_parity_kinds.py",
    "suites/test_suites.py",
    "suites/test_configs.py",
    "test_whole_run.py",
    "test_gemini_run.py",
    "test_local_judge.py",
    "ugc_models/engine/test_supervisor.py",
    "ugc_models/engine/test_parity_qwen3.py",
    "soak/test_judge_kills.py",
    "soak/test_gemini_kills.py",
    "test_interrupted_judging.py",
    "ugc_tasks/lmms/test_begins.py",
    "ugc_models/media/test_stretch.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        type=int,
        default=None,
        help="how many rounds each soak test runs, a short form of its own choice unless given; "
        "without it, tests that are marked long are skipped",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep in one process the tests of a file, and all files that share something."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0].removeprefix("tests/")
            return _shared(file) or file

    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    receive(node)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for table in tables_of(config):
        terminalreporter.write_line(f"\n{table}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="takes a minute: make soak")
    for item in items:
        file = _file(item)
        if file.startswith(_SLOW):
            item.add_marker("slow")
        if config.getoption("--rounds") is None and item.get_closest_marker("long"):
            item.add_marker(skip)
        needs = _SHARED & set(getattr(item, "fixturenames", ()))
        if needs and not _shared(file):
            raise pytest.UsageError(f"{file} uses {needs}: it belongs in _SERVER or _ENGINE")
    # What takes longest begins first, so that no process has it left at the end.
    first = {file: place for place, file in enumerate((*_SERVER, *_ENGINE, *_LONG))}
    items.sort(key=lambda item: first.get(_file(item), len(first)))


def _shared(file: str) -> str | None:
    return "server" if file in _SERVER else "engine" if file in _ENGINE else None


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).as_posix()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Qwen2.5-Omni."""
    from ugc_models.testing.tiny_omni import build_tiny_omni

    return build_tiny_omni(tmp_path_factory.mktemp("checkpoint") / "tiny-omni")


@pytest.fixture(scope="session")
def vllm_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """One ``vllm serve`` for all tests: it takes most of a minute to start. Wait for it."""
    from tests.support.vllm_server import VllmServer

    with VllmServer(checkpoint, tmp_path_factory.mktemp("serve") / "vllm.log") as server:
        yield server


@pytest.fixture(scope="module")
def tap(vllm_server: VllmServer) -> Iterator[Wiretap]:
    """A line to ``vllm_server`` that notes which clips were asked about."""
    from tests.support.captioning import NUMBER
    from tests.support.wiretap import Wiretap

    vllm_server.wait()
    with Wiretap(vllm_server.url, re.compile(NUMBER.pattern.encode())) as tap:
        yield tap


@pytest.fixture(scope="module")
def nursery(checkpoint: Path) -> Iterator[Nursery]:
    """What starts captioning runs in processes of their own."""
    from tests.support.captioning import Nursery

    with Nursery(checkpoint) as nursery:
        yield nursery

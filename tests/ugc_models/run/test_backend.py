"""What answers a run's requests: when it starts and ends, and what of it a caption depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking import ask
from tests.support.fake_vllm import FakeVllm
from ugc_models.config import Settings
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.family import QWEN2_5, QWEN3, Family
from ugc_models.engine.server.client import RemoteError
from ugc_models.run import backend
from ugc_models.run.backend import Backend
from ugc_models.store import CaptionStore

ENGINE = {"dtype", "seed", "max_model_len", "gpu_memory_utilization", "tensor_parallel_size"}


def settings(**arguments: Any) -> Settings:
    return Settings.from_arguments(arguments, ENGINE)


def question(index: int = 0) -> EngineRequest:
    messages = [{"role": "user", "content": [{"type": "text", "text": f"question {index}"}]}]
    return EngineRequest(index, "", (), {"max_tokens": 8}, messages=messages)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint, as far as its identity goes."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


class Local:
    """Stands for vLLM's engine: it answers, or says nothing until it is killed."""

    started: list[Local]
    silent = 0  # how many of the next ones say nothing

    def __init__(
        self,
        model: str,
        arguments: dict[str, Any],
        variables: dict[str, str] | None = None,
        *,
        family: str,
    ) -> None:
        self.told = (model, arguments, variables, family)
        self.closed = False
        self._open: list[Future[EngineOutput]] = []
        self._silent = len(self.started) < self.silent
        self.started.append(self)

    def submit(self, request: EngineRequest) -> Future[EngineOutput]:
        future: Future[EngineOutput] = Future()
        if self._silent:
            self._open.append(future)
        else:
            future.set_result(EngineOutput(request.index, "A caption."))
        return future

    def stalled(self) -> float:
        return 7.0 if self._open else 0.0

    def kill(self) -> None:
        self._open.clear()

    def decoding(self) -> str:
        return "by hand"

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Local]]:
    monkeypatch.setattr(Local, "started", [], raising=False)
    monkeypatch.setattr(backend, "LocalEngine", Local)
    yield Local


class TestBackend:
    def test_starts_an_engine_when_one_is_asked_for_and_one_only(self, local: type[Local]) -> None:
        machine = Backend(settings(model="lab/omni", dtype="float32"), QWEN3, None)
        assert local.started == []
        engine = machine.engine()
        assert machine.engine() is engine
        assert ask(engine, [question()])[0].text == "A caption."
        machine.close()
        [started] = local.started
        assert started.told == ("lab/omni", {"dtype": "float32"}, {}, "qwen3_omni_moe")

    def test_starts_another_after_it_was_closed(self, local: type[Local]) -> None:
        machine = Backend(settings(), QWEN2_5, None)
        machine.close()
        first = machine.engine()
        machine.close()
        machine.close()
        assert [engine.closed for engine in local.started] == [True]
        assert machine.engine() is not first
        machine.close()
        assert [engine.closed for engine in local.started] == [True, True]

    def test_an_engine_has_the_gpus_of_its_rank(
        self, local: type[Local], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        monkeypatch.setenv("LOCAL_RANK", "1")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
        machine = Backend(settings(tensor_parallel_size=2), QWEN2_5, None)
        machine.engine()
        machine.close()
        assert local.started[0].told[2] == {"CUDA_VISIBLE_DEVICES": "2,3"}

    @pytest.mark.parametrize(("timeout", "restarts"), [(6.9, 1), (7.1, 0)])
    def test_an_engine_that_is_silent_for_longer_than_engine_timeout_is_started_again(
        self,
        local: type[Local],
        monkeypatch: pytest.MonkeyPatch,
        timeout: float,
        restarts: int,
    ) -> None:
        monkeypatch.setattr(local, "silent", 1)
        machine = Backend(settings(engine_timeout=timeout), QWEN2_5, None)
        future = machine.engine().submit(question())
        if restarts:
            assert future.result(timeout=60).text == "A caption."
        else:
            with pytest.raises(TimeoutError):
                future.result(timeout=3)
        assert machine.restarts == restarts
        machine.close()

    def test_restarts_are_counted_over_all_its_engines(
        self, local: type[Local], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine = Backend(settings(engine_timeout=1), QWEN2_5, None)
        for total in (1, 2):
            monkeypatch.setattr(local, "silent", len(local.started) + 1)
            ask(machine.engine(), [question()], timeout=60)
            assert machine.restarts == total
            machine.close()
            assert machine.restarts == total


class TestWhatACaptionDependsOn:
    def made_of(self, folder: Path, family: Family = QWEN2_5, **arguments: Any) -> dict[str, Any]:
        return Backend(settings(model=str(folder), **arguments), family, None).made_of()

    @pytest.mark.parametrize(
        "other",
        [
            *({"frames": 8}, {"fps": 2}, {"max_frames": 8}, {"spread": "count"}),
            *({"scaling": "opencv"}, {"min_pixels": 6272}, {"max_pixels": 6272}),
            *({"channels": "bgr"}, {"tell_fps": False}, {"processor_resize": True}),
            *({"use_audio_in_video": False}, {"on_overflow": "fewer_frames"}),
            *({"dtype": "float32"}, {"seed": 3}, {"max_model_len": 4096}),
        ],
    )
    def test_another_setting_makes_another(self, folder: Path, other: dict[str, Any]) -> None:
        assert self.made_of(folder, **other) != self.made_of(folder)

    @pytest.mark.parametrize(
        "other",
        [
            *({"decode_workers": 3}, {"max_in_flight": 3}, {"engine_timeout": 7}),
            *({"gpu_memory_utilization": 0.5}, {"tensor_parallel_size": 2}),
        ],
    )
    def test_how_and_where_it_runs_makes_the_same(
        self, folder: Path, other: dict[str, Any]
    ) -> None:
        assert self.made_of(folder, **other) == self.made_of(folder)

    def test_another_family_or_other_positions_make_another(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = self.made_of(folder)
        assert self.made_of(folder, QWEN3) != before
        monkeypatch.setenv("UGC_OMNI_POSITIONS", "native")
        assert self.made_of(folder) != before

    def test_other_weights_under_the_same_name_make_another(self, folder: Path) -> None:
        before = self.made_of(folder)
        (folder / "model.safetensors").write_bytes(b"weightz")
        assert self.made_of(folder) != before

    def test_it_is_the_same_whether_weights_are_remembered_or_not(
        self, folder: Path, tmp_path: Path
    ) -> None:
        store = CaptionStore(tmp_path / "captions.sqlite3")
        remembered = Backend(settings(model=str(folder)), QWEN2_5, store).made_of()
        store.close()
        assert remembered == self.made_of(folder)


class TestServers:
    @pytest.fixture
    def server(self) -> Iterator[FakeVllm]:
        with FakeVllm() as server:
            yield server

    def test_are_asked_where_base_url_names_some(self, server: FakeVllm) -> None:
        served = Backend(settings(base_url=server.url, model="tiny"), QWEN2_5, None)
        [answer] = ask(served.engine(), [question(4)])
        assert (answer.index, answer.text) == (4, "caption of question 4")
        assert served.engine() is served.engine()
        assert served.restarts == 0
        served.close()

    def test_a_model_that_is_not_served_is_said_at_once(self, server: FakeVllm) -> None:
        with pytest.raises(RemoteError, match="another"):
            Backend(settings(base_url=server.url, model="another"), QWEN2_5, None)

    def test_may_be_closed_and_asked_again(self, server: FakeVllm) -> None:
        served = Backend(settings(base_url=server.url, model="tiny"), QWEN2_5, None)
        served.close()
        served.close()
        assert ask(served.engine(), [question()])[0].error is None
        served.close()

    def test_a_caption_depends_on_what_they_serve_and_not_on_where(
        self, server: FakeVllm, made_of: Callable[..., dict[str, Any]]
    ) -> None:
        before = made_of(server)
        with FakeVllm() as elsewhere, FakeVllm(version="0.31.0") as older:
            assert made_of(elsewhere) == before
            assert made_of(older) != before
        for other in ({"frames": 8}, {"channels": "bgr"}, {"use_audio_in_video": False}):
            assert made_of(server, **other) != before

    @pytest.fixture
    def made_of(self) -> Callable[..., dict[str, Any]]:
        def made_of(server: FakeVllm, **arguments: Any) -> dict[str, Any]:
            stated = settings(base_url=server.url, model="tiny", **arguments)
            served = Backend(stated, QWEN2_5, None)
            try:
                return served.made_of()
            finally:
                served.close()

        return made_of

"""A real ``vllm serve`` writes what the engine in process writes, and may die while it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.asking import ask, request_about, the_video
from tests.support.clips import write_clip
from tests.support.transformers_reference import Reference
from tests.support.vllm_server import KEY, VllmServer
from ugc_models.engine.base import EngineOutput, EngineRequest
from ugc_models.engine.family import ProcessorInputs
from ugc_models.engine.local import LocalEngine
from ugc_models.engine.server.client import RemoteError
from ugc_models.engine.server.remote import RemoteEngine
from ugc_models.media.clip import read_clip
from ugc_models.media.sampling import Sampling

# Starting the server twice is what takes the time.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

QUESTION = "Describe the clip and its sound."
CONTENT = [{"type": "video"}, {"type": "text", "text": QUESTION}]
GREEDY = {"temperature": 0.0, "max_tokens": 24, "ignore_eos": True}
SMALL = 12 * 28 * 28

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "32 frames": ({}, {}),
    "2 frames a second": ({}, {"fps": 2.0}),
    "an odd rate": ({"seconds": 5.7}, {"fps": 2.7}),
    "half a frame a second": ({"seconds": 11}, {"fps": 0.5}),
    "a third of a frame a second": ({"seconds": 20}, {"fps": 1 / 3}),
    "40 s, 32 frames": ({"seconds": 40, "fps": 10}, {}),
    "40 frames, more than a loader's default": ({}, {"frames": 40}),
    "an odd number of frames": ({"seconds": 6}, {"frames": 9}),
    "a single frame": ({}, {"frames": 1}),
    "sound shorter than the picture": ({"audio_seconds": 1.1}, {"fps": 2.0}),
    "sound longer than the picture": ({"audio_seconds": 6.5}, {"fps": 2.0}),
    "no sound": ({"audio": None}, {"fps": 2.0}),
}


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory, reference: Reference) -> list[EngineRequest]:
    """One about each case's clip, for both engines."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for index, (clip, sampling) in enumerate(CASES.values()):
        path = folder / f"{index}.mp4"
        write_clip(path, **{"audio": "stereo", **clip})
        read = read_clip(path, Sampling(**{"max_pixels": SMALL, **sampling}), sound=True)
        request = request_about(read, reference.chat(QUESTION), GREEDY, index=index)
        made.append(replace(request, messages=[{"role": "user", "content": CONTENT}]))
    return made


@pytest.fixture(scope="module")
def expected(
    engine_of_the_module: LocalEngine, requests: list[EngineRequest]
) -> list[EngineOutput]:
    """What the engine in process writes."""
    return ask(engine_of_the_module, requests)


@pytest.fixture(scope="module")
def engine_of_the_module(vllm_server: VllmServer, shared_engine: Any) -> LocalEngine:
    """Started while the server starts."""
    running: LocalEngine = shared_engine.running()
    return running


@pytest.fixture
def remote(vllm_server: VllmServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteEngine]:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    vllm_server.wait()
    engine = RemoteEngine(vllm_server.url + "/v1", patience=500)
    yield engine
    engine.close()


def test_captions_are_those_of_the_engine_in_process(
    expected: list[EngineOutput], requests: list[EngineRequest], remote: RemoteEngine
) -> None:
    answers = ask(remote, requests)
    assert [a.error for a in answers] == [None] * len(CASES)
    for name, ours, theirs in zip(CASES, answers, expected, strict=True):
        assert ours == theirs, name


def test_so_are_sampled_ones_of_the_same_seed(
    engine_of_the_module: LocalEngine, requests: list[EngineRequest], remote: RemoteEngine
) -> None:
    sampling = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "seed": 42, "max_tokens": 24}
    # The rest is what no argument says: the checkpoint's own settings must not creep in.
    asked = [replace(request, parameters=sampling) for request in requests[:4]]
    assert ask(remote, asked) == ask(engine_of_the_module, asked)


def test_the_same_frames_with_another_sound_are_not_given_the_first_sound(
    engine_of_the_module: LocalEngine, requests: list[EngineRequest], remote: RemoteEngine
) -> None:
    """The server caches prefixes, as it does by default; the engine in process does not."""
    clip = requests[1]
    video = the_video(clip)
    assert video.sound is not None
    noise = np.random.default_rng(1).normal(0, 0.3, video.sound.shape).astype(np.float32)
    other = replace(clip, media=(replace(video, sound=noise),))
    [first], [second] = ask(remote, [clip]), ask(remote, [other])
    assert first.text != second.text
    assert [second] == ask(engine_of_the_module, [other])


def test_it_tells_what_runs_there(remote: RemoteEngine, checkpoint: Path) -> None:
    import vllm

    version = vllm.__version__
    assert remote.decoding() == f"vllm serve {version} at 1 server, corrected positions"
    assert remote.identity() == (f"tiny (root {checkpoint}, vllm {version}, corrected positions)")


def test_a_prompt_that_is_too_long_overflows_alone(
    requests: list[EngineRequest], expected: list[EngineOutput], remote: RemoteEngine
) -> None:
    long = [{"role": "user", "content": [*CONTENT, {"type": "text", "text": "word " * 9000}]}]
    [whole, refused] = ask(remote, [requests[1], replace(requests[1], messages=long)])
    assert whole == expected[1]
    assert refused.overflow
    assert refused.error is not None and "8192" in refused.error


def test_a_clip_of_too_many_tokens_overflows_too(
    requests: list[EngineRequest], remote: RemoteEngine
) -> None:
    video = the_video(requests[0])
    many = (replace(video, frames=video.frames.repeat(60, axis=0)),)
    processor = ProcessorInputs().options(many)
    [refused] = ask(remote, [replace(requests[0], media=many, processor=processor)])
    assert refused.overflow, refused


def test_without_its_key_it_is_of_no_use(
    vllm_server: VllmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    vllm_server.wait()
    with pytest.raises(RemoteError, match="set its key as VLLM_API_KEY"):
        RemoteEngine(vllm_server.url)


def test_killed_and_started_again_in_the_middle_it_loses_nothing(
    requests: list[EngineRequest],
    expected: list[EngineOutput],
    remote: RemoteEngine,
    vllm_server: VllmServer,
) -> None:
    asked = [replace(r, index=turn * 100 + r.index) for turn in range(5) for r in requests]
    futures = [remote.submit(request) for request in asked]
    futures[len(CASES)].result(120)  # some are answered, some are in work, some wait
    vllm_server.kill()
    unfinished = sum(not future.done() for future in futures)
    vllm_server.start()
    answers = [future.result(600) for future in futures]
    assert unfinished > 10
    assert answers == [
        replace(answer, index=turn * 100 + answer.index) for turn in range(5) for answer in expected
    ]

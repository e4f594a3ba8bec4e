"""Clips are read in other processes, exactly as in this one, and what a file does stays there."""

from __future__ import annotations

import io
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import PIL.Image
import psutil
import pytest

from tests.support.captioning import command_has
from tests.support.clips import write_clip, write_song
from ugc_models.decoding import pool as module
from ugc_models.decoding.pool import DecodePool
from ugc_models.media.clip import Clip, read_clip
from ugc_models.media.limits import Limits, MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.source import (
    Audio,
    AudioSource,
    Image,
    ImageSource,
    VideoFile,
    VideoFrames,
)

FEW = Sampling(frames=6, max_pixels=12 * 28 * 28)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=4)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "silent.mp4", seconds=2, audio=None)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(2) as pool:
        yield pool


def children() -> list[psutil.Process]:
    """Return the processes that this one has started and not yet waited for, dead ones too."""
    return psutil.Process().children()


def workers() -> list[psutil.Process]:
    """Return the workers that live. An engine of other tests may have died in this process."""
    return [child for child in children() if command_has(child, "ugc_models.decoding.worker")]


def same(a: Clip, b: Clip) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(Clip)]
    return all(
        np.array_equal(x, y) and x.dtype == y.dtype if isinstance(x, np.ndarray) else x == y
        for x, y in pairs
    )


class TestReading:
    def test_gives_what_reading_here_gives(self, pool: DecodePool, clip: Path) -> None:
        assert same(pool.read(VideoFile(clip), FEW, sound=True), read_clip(clip, FEW))

    def test_of_a_clip_without_sound_too(self, pool: DecodePool, silent: Path) -> None:
        read = pool.read(VideoFile(silent), FEW, sound=True)
        assert read.sound is None
        assert same(read, read_clip(silent, FEW))

    def test_from_many_threads_mixes_nothing_up(
        self, pool: DecodePool, clip: Path, silent: Path
    ) -> None:
        with ThreadPoolExecutor(6) as threads:
            paths = [clip, silent] * 6
            read = list(
                threads.map(lambda path: pool.read(VideoFile(path), FEW, sound=True), paths)
            )
        assert [r.sound is None for r in read] == [False, True] * 6

    def test_a_file_that_is_no_clip_is_refused_with_its_reason(
        self, pool: DecodePool, tmp_path: Path, clip: Path
    ) -> None:
        text = tmp_path / "text.mp4"
        text.write_text("not a video\n" * 100)
        with pytest.raises(MediaError, match="not a video"):
            pool.read(VideoFile(text), FEW, sound=True)
        assert len(pool.read(VideoFile(clip), FEW, sound=True).frames) == 6

    def test_keeps_to_the_limits_of_the_pool(self, clip: Path) -> None:
        with (
            DecodePool(1, Limits(source_pixels=100)) as pool,
            pytest.raises(MediaError, match="over the limit of 100 pixels"),
        ):
            pool.read(VideoFile(clip), FEW, sound=True)

    def test_of_a_name_alone_is_from_the_folder_of_the_run(
        self, pool: DecodePool, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which may be another one than when the worker was started."""
        pool.read(VideoFile(clip), FEW, sound=False)
        monkeypatch.chdir(clip.parent)
        assert len(pool.read(VideoFile(Path(clip.name)), FEW, sound=False).frames) == 6

    def test_a_name_with_a_line_break_is_a_name(
        self, pool: DecodePool, tmp_path: Path, clip: Path
    ) -> None:
        odd = tmp_path / "a\nb\u2028c.mp4"
        odd.write_bytes(clip.read_bytes())
        assert len(pool.read(VideoFile(odd), FEW, sound=True).frames) == 6


class TestWorkers:
    def test_are_started_when_needed_and_end_with_the_pool(self, clip: Path) -> None:
        before, others = len(workers()), set(children())
        with DecodePool(3) as pool:
            assert len(workers()) == before
            for _ in range(4):
                pool.read(VideoFile(clip), FEW, sound=False)
            assert len(workers()) == before + 1
        assert len(workers()) == before
        assert set(children()) <= others, "what died was waited for"

    def test_one_that_dies_takes_its_clip_and_no_other(self, clip: Path, tmp_path: Path) -> None:
        """Killed while it is stopped in the middle of a clip."""
        with DecodePool(1) as pool:
            pool.read(VideoFile(clip), FEW, sound=False)
            [worker] = workers()
            worker.send_signal(signal.SIGSTOP)
            threading.Timer(1.0, worker.kill).start()
            with pytest.raises(MediaError, match="damaged: its decoder was ended by SIGKILL"):
                pool.read(VideoFile(clip), FEW, sound=False)
            assert len(pool.read(VideoFile(clip), FEW, sound=False).frames) == 6

    def test_one_that_hangs_is_ended_after_its_time(
        self, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "GRACE_S", 3.0)
        with DecodePool(1, Limits(decode_seconds=5.0)) as pool:
            pool.read(VideoFile(clip), FEW, sound=False)
            [worker] = workers()
            worker.send_signal(signal.SIGSTOP)
            with pytest.raises(MediaError, match=r"timed out: reading it took more than 8 s"):
                pool.read(VideoFile(clip), FEW, sound=False)
            assert len(pool.read(VideoFile(clip), FEW, sound=False).frames) == 6

    def test_have_four_gibibytes_each_unless_told_otherwise(
        self, pool: DecodePool, clip: Path
    ) -> None:
        """A hostile file may ask for as much as there is."""
        pool.read(VideoFile(clip), FEW, sound=False)
        [worker] = workers()
        assert worker.rlimit(psutil.RLIMIT_AS) == (4 << 30, 4 << 30)

    def test_a_clip_that_needs_too_much_memory_fails_alone(self, clip: Path) -> None:
        with DecodePool(1, memory=0) as pool:
            pool.read(VideoFile(clip), FEW, sound=False)
            [worker] = workers()
            needed = worker.memory_info().vms
        many = Sampling(frames=700, max_pixels=200_000, min_pixels=190_000)
        for more in (1 << 20, 8 << 20):  # it is lacking when the file is opened, or later
            with (
                DecodePool(1, memory=needed + more) as pool,
                pytest.raises(MediaError, match="memory"),
            ):
                pool.read(VideoFile(clip), many, sound=False)

    def test_one_whose_answer_was_not_read_to_its_end_is_asked_nothing_more(
        self, clip: Path, silent: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its next answer would begin with the rest of this one."""

        def lacking(_: object) -> Clip:
            raise MemoryError

        with DecodePool(1) as pool:
            with monkeypatch.context() as here:
                here.setattr(module, "receive", lacking)
                with pytest.raises(MemoryError):
                    pool.read(VideoFile(clip), FEW, sound=True)
            assert same(pool.read(VideoFile(silent), FEW, sound=True), read_clip(silent, FEW))

    def test_closing_ends_one_in_the_middle_of_a_clip(self, clip: Path) -> None:
        pool = DecodePool(1)
        pool.read(VideoFile(clip), FEW, sound=False)
        [worker] = workers()
        worker.send_signal(signal.SIGSTOP)
        with ThreadPoolExecutor(1) as thread:
            reading = thread.submit(pool.read, VideoFile(clip), FEW, sound=False)
            time.sleep(0.2)
            pool.close()
            assert isinstance(reading.exception(timeout=240), MediaError)
        with pytest.raises(MediaError, match="stopped"):
            pool.read(VideoFile(clip), FEW, sound=False)

    def test_ctrl_c_is_not_theirs(self, pool: DecodePool, clip: Path) -> None:
        pool.read(VideoFile(clip), FEW, sound=False)
        [worker] = workers()
        assert os.getpgid(worker.pid) != os.getpgid(0)

    def test_what_they_hold_is_small(self, pool: DecodePool, clip: Path) -> None:
        """Neither torch nor vLLM nor lmms-eval: those are a gigabyte each."""
        pool.read(VideoFile(clip), FEW, sound=True)
        [worker] = workers()
        libraries = {Path(each.path).name for each in worker.memory_maps()}
        assert not [name for name in libraries if name.startswith("libtorch")]


def test_a_worker_gets_what_python_needs_of_the_environment_and_no_more(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker reads strangers' files; it must not hold what the run is paid with, in any name."""
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "MY_LLM_PASS", "HTTPS_PROXY", "DATABASE_URL"):
        monkeypatch.setenv(name, "canary-of-a-secret")
    monkeypatch.setenv("TZ", "Europe/Lisbon")
    with DecodePool(1) as pool:
        assert len(pool.read(VideoFile(clip), FEW, sound=False).frames) == 6
        [worker] = workers()
        given = worker.environ()
    assert "canary-of-a-secret" not in given.values()
    assert given["TZ"] == "Europe/Lisbon" and given["PATH"] == os.environ["PATH"]
    assert set(given) <= {
        *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VIRTUAL_ENV"),
    }


def begin_workers_with(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Python do this first in all workers that are started from now on."""
    (folder / "sitecustomize.py").write_text(code)
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), path])))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("MemoryError", "too large: it needs more memory than one file may have"),
        ("KeyError('what')", "KeyError: 'what'"),
    ],
)
def test_whatever_goes_wrong_with_a_clip_ends_no_worker(
    error: str, said: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = f"import numpy\ndef fail(*_, **__): raise {error}\nnumpy.stack = fail\n"
    begin_workers_with(fails, tmp_path, monkeypatch)
    with DecodePool(1) as pool:
        for _ in range(2):
            with pytest.raises(MediaError, match=said):
                pool.read(VideoFile(clip), FEW, sound=False)
            [worker] = workers()
        assert worker.is_running()


def test_what_a_library_prints_in_a_worker_is_no_part_of_a_clip(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_workers_with(
        """
import json, os
loads = json.loads
def noisy(text):
    os.write(1, b"a library's words\\n")
    return loads(text)
json.loads = noisy
""",
        tmp_path,
        monkeypatch,
    )
    with DecodePool(1) as pool:
        assert same(pool.read(VideoFile(clip), FEW, sound=True), read_clip(clip, FEW))


def test_sound_is_aligned_there_as_here_and_left_when_told_so(
    pool: DecodePool, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "late.mp4", seconds=2, audio_later=lambda _: 0.5)
    for align in (True, False):
        read = pool.read(VideoFile(path), FEW, sound=True, align_sound=align)
        assert same(read, read_clip(path, FEW, align_sound=align))
        assert read.sound is not None and read.sound_offset == pytest.approx(0.5, abs=0.03)
        assert (read.sound[:6000] == 0).all() == align


def test_a_pipe_is_refused_before_it_is_opened(pool: DecodePool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert stat.S_ISFIFO((tmp_path / "pipe.mp4").stat().st_mode)
    with pytest.raises(MediaError, match="not a regular file"):
        pool.read(VideoFile(tmp_path / "pipe.mp4"), FEW, sound=False)


# ---- images, recordings, and what is in memory already ----


def test_images_and_recordings_are_read_in_workers_from_files_and_bytes(
    pool: DecodePool, tmp_path: Path
) -> None:
    PIL.Image.new("RGB", (7, 5), "red").save(tmp_path / "a.png")
    write_song(tmp_path / "a.mp3")
    for content in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        image = pool.read(ImageSource(content), FEW, sound=True)
        assert isinstance(image, Image)
        assert (image.pixels.shape, image.pixels[0, 0].tolist()) == ((5, 7, 3), [255, 0, 0])
    for content in (tmp_path / "a.mp3", (tmp_path / "a.mp3").read_bytes()):
        audio = pool.read(AudioSource(content), FEW, sound=True)
        assert isinstance(audio, Audio)
        assert audio.seconds == len(audio.samples) / 16_000 == pytest.approx(1, abs=0.1)


def test_a_hostile_image_or_recording_fails_alone(pool: DecodePool, tmp_path: Path) -> None:
    flat = io.BytesIO()
    PIL.Image.new("1", (20_000, 20_000)).save(flat, "PNG")
    bomb = flat.getvalue()
    hostile = [ImageSource(bomb), ImageSource(b"\n{}\n" * 99), AudioSource(b"\0" * 9999)]
    for source in hostile:
        with pytest.raises(MediaError, match=r"too large|not an image|not a recording"):
            pool.read(source, FEW, sound=True)
    PIL.Image.new("RGB", (7, 5)).save(tmp_path / "a.png")
    assert isinstance(pool.read(ImageSource(tmp_path / "a.png"), FEW, sound=True), Image)


def test_what_a_library_has_to_say_of_an_image_is_not_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A warning has bytes of the file in it, and paths of the machine."""
    content = io.BytesIO()
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"
    PIL.Image.new("RGB", (8, 8)).save(content, "JPEG", exif=broken)
    with DecodePool(1) as pool:
        assert pool.read(ImageSource(content.getvalue()), FEW, sound=True)
    assert capfd.readouterr().err == ""


def test_a_stretch_is_read_there_as_here(pool: DecodePool, clip: Path) -> None:
    there = pool.read(VideoFile(clip, 0.5, 1.5), FEW, sound=True)
    assert same(there, read_clip(clip, FEW, start=0.5, end=1.5))


def test_what_is_in_memory_needs_no_worker(pool: DecodePool) -> None:
    red = PIL.Image.new("RGB", (64, 64), "red")
    samples = np.zeros((2, 8_000), np.float32)
    kinds = [ImageSource(red), VideoFrames([red, red]), AudioSource(None, samples, 8_000)]
    read = [pool.read(source, FEW, sound=True) for source in kinds]
    assert [type(each) for each in read] == [Image, Clip, Audio]
    assert workers() == []

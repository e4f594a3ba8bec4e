"""Which part of the pipeline is named as the one that holds the others up."""

from __future__ import annotations

from benchmarks.limits import Limits


def test_decoding_is_the_bottleneck_where_the_engine_could_take_more_clips() -> None:
    limits = Limits(decoding=4.0, preprocessing=10.0, engine=9.0, gpu_busy=95.0)
    assert limits.bottleneck().startswith("decoding, at 4.00 clips/s")


def test_the_gpu_is_the_bottleneck_where_it_is_busy_and_clips_are_there_in_time() -> None:
    limits = Limits(decoding=20.0, preprocessing=10.0, engine=9.0, gpu_busy=95.0)
    assert limits.bottleneck() == "the GPU, busy for 95 % of the time"


def test_preprocessing_is_the_bottleneck_where_an_idle_gpu_goes_at_its_pace() -> None:
    limits = Limits(decoding=20.0, preprocessing=4.0, engine=4.5, gpu_busy=30.0)
    assert limits.bottleneck().startswith("preprocessing beside the engine, 4.00 clips/s")


def test_the_engine_is_the_bottleneck_where_nothing_else_is() -> None:
    limits = Limits(decoding=20.0, preprocessing=4.0, engine=9.0, gpu_busy=None)
    assert limits.bottleneck().startswith("the engine, at 9.00 clips/s")

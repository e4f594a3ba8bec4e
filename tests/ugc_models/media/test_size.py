"""The size of a frame follows Qwen2-VL's rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugc_models.media.errors import MediaError
from ugc_models.media.sampling import Sampling
from ugc_models.media.size import target_size

SIDES = st.integers(min_value=16, max_value=8192)


# What smart_resize of transformers 5.19.0 (models/qwen2_vl/video_processing_qwen2_vl.py) gives with
# min_pixels=3136, max_pixels=100352. Importing it would take as long as all other media tests.
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((1080, 1920), (224, 420)),
        ((1920, 1080), (420, 224)),
        ((720, 1280), (224, 420)),
        ((576, 1024), (224, 420)),
        ((1000, 1000), (308, 308)),
        ((160, 120), (168, 112)),
        ((120, 160), (112, 168)),
        ((1919, 1081), (420, 224)),
        ((42, 42), (56, 56)),
        ((98, 70), (112, 56)),
        ((20, 20), (56, 56)),
        ((16, 900), (28, 896)),
        ((30, 5000), (28, 4088)),
        ((317, 318), (308, 308)),
    ],
)
def test_sizes_are_those_of_the_models_own_processor(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    assert target_size(*source, Sampling()) == target


@given(width=SIDES, height=SIDES)
def test_sides_are_multiples_of_the_factor_within_the_budget(width: int, height: int) -> None:
    sampling = Sampling(min_pixels=28 * 28 * 16, max_pixels=28 * 28 * 128)
    if max(width, height) > 60 * min(width, height):
        return  # a single row of blocks is allowed to be over the budget
    new_width, new_height = target_size(width, height, sampling)
    assert new_width % 28 == 0 and new_height % 28 == 0
    assert sampling.min_pixels <= new_width * new_height <= sampling.max_pixels


@given(width=SIDES, height=SIDES)
def test_the_rule_applied_to_its_own_result_changes_nothing(width: int, height: int) -> None:
    if max(width, height) > 60 * min(width, height):
        return
    once = target_size(width, height, Sampling())
    assert target_size(*once, Sampling()) == once


@pytest.mark.parametrize("size", [(8192, 16), (3201, 16), (16, 3201)])
def test_a_ribbon_is_refused_in_words(size: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match=f"{size[0]}x{size[1]} is too narrow"):
        target_size(*size, Sampling())


def test_two_hundred_times_as_long_as_wide_is_no_ribbon_yet() -> None:
    assert target_size(3200, 16, Sampling()) == (3192, 28)


def test_a_size_that_is_just_within_the_bounds_is_not_scaled_once_more() -> None:
    assert target_size(230, 450, Sampling()) == (224, 448), "128 tokens"
    assert target_size(60, 48, Sampling()) == (56, 56), "4 tokens"


def test_a_side_is_never_less_than_one_factor() -> None:
    assert target_size(1, 100, Sampling(factor=2, min_pixels=1)) == (2, 100)

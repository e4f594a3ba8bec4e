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


def test_a_ribbon_is_refused_in_words() -> None:
    with pytest.raises(MediaError, match="8192x16 is too narrow"):
        target_size(8192, 16, Sampling())

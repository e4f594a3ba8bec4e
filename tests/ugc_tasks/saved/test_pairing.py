"""Which answers belong to which questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from ugc_tasks.data.home import DataError
from ugc_tasks.saved.answers import SavedAnswer, SavedAnswers
from ugc_tasks.saved.pairing import pair

SAVED = SavedAnswers(Path("file"), {i: SavedAnswer(i.lower()) for i in ("C", "A", "X")})


def test_pairs_come_in_the_tasks_order_and_the_rest_is_named() -> None:
    pairing = pair(SAVED, ["A", "B", "C"])
    assert [video_id for video_id, _ in pairing.pairs] == ["A", "C"]
    assert pairing.pairs[1][1].value == "c"
    assert (pairing.missing, pairing.unknown, pairing.wanted) == (("B",), ("X",), 3)


def test_a_file_of_another_benchmark_is_refused() -> None:
    with pytest.raises(DataError, match="file: none of its clips is one that this task asks about"):
        pair(SAVED, ["D"])

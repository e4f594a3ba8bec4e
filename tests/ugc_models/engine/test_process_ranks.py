"""Each of several processes on a machine gets GPUs of its own, as many as its engine takes."""

from __future__ import annotations

from typing import Any

import pytest

from ugc_models.engine.process import environment_of_rank, gpus_of_rank


def rank(number: int, of: int, **more: str) -> dict[str, str]:
    """What ``accelerate launch`` sets for a process."""
    return {"LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": str(of), **more}


def shares(of: int, gpus: int, **arguments: Any) -> list[str]:
    """Return what each rank's engine sees."""
    found = [gpus_of_rank(rank(number, of), gpus, arguments) for number in range(of)]
    return [each["CUDA_VISIBLE_DEVICES"] for each in found]


def test_eight_ranks_share_eight_gpus() -> None:
    assert shares(8, 8) == ["0", "1", "2", "3", "4", "5", "6", "7"]


def test_gpus_that_are_left_over_stay_idle() -> None:
    assert shares(3, 8) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "name", ["tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"]
)
def test_an_engine_over_several_gpus_gets_neighbours(name: str) -> None:
    assert shares(4, 8, **{name: 2}) == ["0,1", "2,3", "4,5", "6,7"]


def test_parallel_sizes_multiply() -> None:
    assert shares(2, 8, tensor_parallel_size=2, pipeline_parallel_size=2) == ["0,1,2,3", "4,5,6,7"]


def test_a_size_that_is_not_stated_is_one() -> None:
    assert shares(2, 2, tensor_parallel_size=None) == ["0", "1"]


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [
        ("4,5,6,7", ["4,5", "6,7"]),
        ("7, 3, 1, 0", ["7,3", "1,0"]),
        (
            "GPU-5f2a,GPU-91c0,MIG-e7d1,MIG-0aa4",
            ["GPU-5f2a,GPU-91c0", "MIG-e7d1,MIG-0aa4"],
        ),
    ],
    ids=["a part of the machine", "in another order", "by their UUIDs"],
)
def test_gpus_keep_the_names_they_came_with(visible: str, wanted: list[str]) -> None:
    found = [
        gpus_of_rank(rank(number, 2, CUDA_VISIBLE_DEVICES=visible), 4, {"tensor_parallel_size": 2})
        for number in range(2)
    ]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == wanted


@pytest.mark.parametrize("visible", [{}, {"CUDA_VISIBLE_DEVICES": ""}])
def test_without_a_list_they_are_numbered(visible: dict[str, str]) -> None:
    assert gpus_of_rank(rank(1, 2, **visible), 2, {}) == {"CUDA_VISIBLE_DEVICES": "1"}


@pytest.mark.parametrize(
    ("ranks", "gpus", "arguments", "need"),
    [
        (8, 4, {}, "8 processes with 1 GPU(s) each need 8 GPUs, and this machine shows 4"),
        (
            8,
            8,
            {"tensor_parallel_size": 2},
            "8 processes with 2 GPU(s) each need 16 GPUs, and this machine shows 8",
        ),
    ],
)
def test_too_few_gpus_are_said_with_what_to_do(
    ranks: int, gpus: int, arguments: dict[str, int], need: str
) -> None:
    # The first rank says it too, although there would be enough for that one.
    for number in (0, ranks - 1):
        with pytest.raises(ValueError) as failure:
            gpus_of_rank(rank(number, ranks), gpus, arguments)
        assert str(failure.value) == f"{need}: start fewer with --num_processes"


@pytest.mark.parametrize("environ", [{}, rank(0, 1), {"LOCAL_WORLD_SIZE": ""}])
def test_the_only_process_of_a_machine_keeps_all_its_gpus(environ: dict[str, str]) -> None:
    assert gpus_of_rank(environ, 8, {"tensor_parallel_size": 8}) == {}


def test_without_gpus_there_is_nothing_to_share() -> None:
    assert gpus_of_rank(rank(1, 2), 0, {}) == {}


class TestThisProcess:
    def test_as_the_only_one_does_not_even_count_the_gpus(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: pytest.fail("they were counted"))
        assert environment_of_rank({}) == {}

    def test_as_one_of_several_gets_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in rank(1, 2, CUDA_VISIBLE_DEVICES="3,5").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        assert environment_of_rank({}) == {"CUDA_VISIBLE_DEVICES": "5"}

"""Addresses are read strictly, and the next request goes where there is least to do."""

from __future__ import annotations

from typing import Any

import pytest

from ugc_models.engine.server.servers import BadAddress, Server, Servers, addresses


class TestAddresses:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("http://a:8000", ["http://a:8000"]),
            ("http://a:8000/v1/", ["http://a:8000"]),
            ("https://a/serve/v1", ["https://a/serve"]),
            ("http://a:1; http://b:2/v1;", ["http://a:1", "http://b:2"]),
            ('["http://a:1", "http://b:2"]', ["http://a:1", "http://b:2"]),
            (["http://a:1", "http://a:1/v1"], ["http://a:1"]),
            ("http://[::1]:8000", ["http://[::1]:8000"]),
            ("http://a:1; ;http://b:2; ", ["http://a:1", "http://b:2"]),
            (' ["http://a:1"]', ["http://a:1"]),
            ("http://a:1//v1//", ["http://a:1"]),
        ],
    )
    def test_are_one_or_several(self, value: str | list[str], expected: list[str]) -> None:
        assert addresses(value) == expected

    @pytest.mark.parametrize(
        "value",
        ["", ";", "[]", "[1]", '["http://a"', "a:8000", "ftp://a", "http://", "http://a:99999",
         "http://a b", "file:///etc/passwd", [], [" "], ["http://a", ""], ["http://a", 1]],
    )  # fmt: skip
    def test_of_another_form_are_refused(self, value: Any) -> None:
        with pytest.raises(BadAddress, match=r"^base_url"):
            addresses(value)

    @pytest.mark.parametrize(
        "value", ["http://me:sk-secret@a:8000", "http://a/?key=sk-secret", "http://a/#sk-secret"]
    )
    def test_with_a_key_in_them_are_refused_without_showing_it(self, value: str) -> None:
        with pytest.raises(BadAddress, match=r"address 2: .* belongs into VLLM_API_KEY") as raised:
            addresses(f"http://b;{value}")
        assert "secret" not in str(raised.value)

    def test_are_shown_without_their_path(self) -> None:
        assert Server("https://gate:8443/team/sk-secret").name == "https://gate:8443"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestChoice:
    def test_is_the_one_with_the_fewest_in_flight(self) -> None:
        servers = Servers(["http://a", "http://b", "http://c"])
        a, b, c = servers.all
        with a.taken(), a.taken(), b.taken(), c.taken(), c.taken():
            assert servers.pick() == (b, 0.0)
        assert (a.in_flight, b.in_flight, c.in_flight) == (0, 0, 0)

    def test_may_fall_on_any_at_the_very_start_and_at_the_end_of_a_rest(self) -> None:
        clock = Clock()
        clock.now = 0.0
        servers = Servers(["http://a"], clock)
        [a] = servers.all
        assert servers.pick() == (a, 0.0)
        servers.failed(a)
        clock.now = 0.5
        assert servers.pick() == (a, 0.0)

    def test_leaves_one_that_failed_alone_for_longer_each_time(self) -> None:
        clock = Clock()
        servers = Servers(["http://a"], clock)
        [a] = servers.all
        rests = []
        for _ in range(8):
            servers.failed(a)
            nobody, wait = servers.pick()
            assert nobody is None
            rests.append(wait)
            clock.now += wait
        assert rests == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
        servers.answered(a)
        servers.failed(a)
        assert servers.pick() == (None, 0.5)

    def test_counts_requests_cut_off_together_as_one_failure(self) -> None:
        servers = Servers(["http://a"], Clock())
        for _ in range(20):
            servers.failed(servers.all[0])
        assert servers.pick() == (None, 0.5)

    def test_honours_what_a_server_asks_for_within_reason(self) -> None:
        servers = Servers(["http://a", "http://b"], Clock())
        a, b = servers.all
        servers.failed(a, told=40)
        assert servers.pick() == (b, 0.0)
        servers.failed(b, told=1e8)
        assert servers.pick() == (None, 40.0)
        assert b.rested == 220.0

    def test_never_falls_on_an_unfit_one(self) -> None:
        servers = Servers(["http://a", "http://b"])
        a, b = servers.all
        a.unfit = "another model"
        assert servers.pick() == (b, 0.0)
        b.unfit = "another model"
        assert servers.pick() == (None, 0.0)

"""One address, read strictly, and nothing secret in what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from ugc_models.engine.server.client import BadAddress, Client


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("http://a:8000", "http://a:8000"),
        ("http://a:8000/v1/", "http://a:8000"),
        (" http://a:1//v1// ", "http://a:1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://gate:8443/team/sk-secret", "https://gate:8443"),
    ],
)
def test_an_address_is_shown_without_its_path(value: str, name: str) -> None:
    client = Client(value, 1.0)
    assert client.name == name
    assert "secret" not in repr(client)


@pytest.mark.parametrize(
    "value",
    ["", "a:8000", "ftp://a", "http://", "http://a:99999", "http://a:0", "http://a b", "http://[::1",
     "file:///etc/passwd", "http://a\x00b", "http://ä..b", "http://a:1; http://b:2/v1",
     '["http://a:1"]', ["http://a"], [], 8000],
)  # fmt: skip
def test_what_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadAddress, match=r"^base_url: an address such as http://host:8000/v1"):
        Client(value, 1.0)


@pytest.mark.parametrize(
    "value", ["http://me:sk-secret@a:8000", "http://a/?key=sk-secret", "http://a/#sk-secret"]
)
def test_one_with_a_key_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(BadAddress, match=r"belongs into VLLM_API_KEY") as raised:
        Client(value, 1.0)
    assert "secret" not in str(raised.value)

"""Where a webhook may point: https to public addresses, whatever the address is called."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks import signing
from service.webhooks.sender import Outcome, Target, is_allowed
from service.webhooks.store import DELAYS_MS

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254",
    "172.16.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:a00:1::", "2002:7f00:1::", "fc00::1", "fd12::1",
    "fe80::1", "ff02::1", "2001:db8::1", "2001:0:0:0:0:0:f5ff:fffe",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101"]


def test_every_way_into_the_private_network_is_refused() -> None:
    for text in PRIVATE:
        address = ip_address(text)
        assert not is_allowed(address, secure=True, development=False), text
        assert not is_allowed(address, secure=False, development=False), text
    for text in PUBLIC:
        assert is_allowed(ip_address(text), secure=True, development=False), text
        assert not is_allowed(ip_address(text), secure=False, development=False), text


def test_development_adds_this_machine_and_nothing_else() -> None:
    for text in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert is_allowed(ip_address(text), secure=False, development=True)
    for text in ("10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "1.1.1.1"):
        assert not is_allowed(ip_address(text), secure=False, development=True)


REFUSED = [
    "", "x", "shop.example", "http://shop.example/", "ftp://shop.example/", "https://",
    "https:///x", "https://user@shop.example/", "https://user:word@shop.example/",
    "https://@shop.example/", "https://shop.example/#x", "https://shop.example:0/",
    "https://shop.example:65536/", "https://shop.example:x/", "https://shop example/",
    "https://shop.example/a b", "https://shop.example/\u00e4", "https://sh\u00f6p.example/",
    "https://shop.example\\@10.0.0.1/", "https://-shop.example/", "https://[::1/",
    "https://shop.example/\r\nX: y", "https://a_b.example/", "javascript:alert(1)",
    "https://" + "a" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_such_url_is_refused(text: str) -> None:
    assert Target.parse(text, development=False) is Outcome.URL_NOT_ALLOWED


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_in_a_url_is_looked_at_at_once(text: str) -> None:
    host = f"[{text}]" if ":" in text else text
    assert Target.parse(f"https://{host}/x", development=False) is Outcome.ADDRESS_NOT_ALLOWED


def test_a_url_says_where_to_send() -> None:
    found = Target.parse("https://Shop.example:8443/hook?a=1", development=False)
    assert isinstance(found, Target)
    assert (found.secure, found.host, found.port) == (True, "shop.example", 8443)
    assert found.path == "/hook?a=1"
    short = Target.parse("https://shop.example", development=False)
    assert isinstance(short, Target)
    assert (short.port, short.path) == (443, "/")


@given(st.text(max_size=60).map(lambda text: "https://" + text) | st.text(max_size=60))
def test_whatever_is_given_is_a_target_or_a_named_refusal(text: str) -> None:
    found = Target.parse(text, development=True)
    named = (Outcome.URL_NOT_ALLOWED, Outcome.ADDRESS_NOT_ALLOWED)
    assert isinstance(found, Target) or found in named


def test_tries_are_spread_over_three_days_ever_further_apart() -> None:
    assert sum(DELAYS_MS) == 3 * 24 * 3_600_000
    assert list(DELAYS_MS) == sorted(set(DELAYS_MS))


def test_each_secret_in_force_signs_time_and_body() -> None:
    first, second = (signing.secret_text(bytes([each] * 32)) for each in (1, 2))
    header = signing.sign(b"{}", [first, second], at_s=7)
    at, *marks = header.split(",")
    assert at == "t=7"
    assert marks == [signing.sign(b"{}", [each], at_s=7).split(",")[1] for each in (first, second)]
    assert len({*marks, *signing.sign(b"{}", [first], at_s=8).split(",")}) == 4
    assert all(mark.startswith("v1=") and len(mark) == 67 for mark in marks)

"""URLs for Retell: which are taken, and that none is shown with its secret."""

from __future__ import annotations

from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.errors import UsageError
from retell_ws.registration.addresses import (
    Address,
    scrubbed,
    shortened,
    socket_address,
    warning_of,
    webhook_address,
)
from retell_ws.route import call_id_of

SECRET = "canary-0123456789_abcdef"
HOST = "wss://ana.example.com"


@pytest.mark.parametrize(
    ("given_", "secrets", "url"),
    [
        (f"{HOST}/llm-websocket", (), f"{HOST}/llm-websocket"),
        (f"{HOST}/llm-websocket/", (), f"{HOST}/llm-websocket"),
        (f"{HOST}/llm-websocket/{SECRET}", (), f"{HOST}/llm-websocket/{SECRET}"),
        (f"{HOST}/llm-websocket/{SECRET}/", (SECRET,), f"{HOST}/llm-websocket/{SECRET}"),
        (f"{HOST}/llm-websocket", (SECRET, "x" * 16), f"{HOST}/llm-websocket/{SECRET}"),
        (f"{HOST}/llm-websocket/{'x' * 16}", (SECRET, "x" * 16), f"{HOST}/llm-websocket/{'x' * 16}"),
        (f"{HOST}:8443/voice/llm-websocket?t={{{{tenant}}}}", (), f"{HOST}:8443/voice/llm-websocket?t={{{{tenant}}}}"),
        ("ws://127.0.0.1:8080/llm-websocket", (), "ws://127.0.0.1:8080/llm-websocket"),
        ("ws://[::1]:8080/llm-websocket", (), "ws://[::1]:8080/llm-websocket"),
    ],
)
def test_a_good_url_is_taken_and_completed(given_: str, secrets: tuple[str, ...], url: str) -> None:
    assert socket_address(given_, secrets).url == url


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ("ana.example.com/llm-websocket", "no URL with a host"),
        ("wss:///llm-websocket", "no URL with a host"),
        ("wss://[::1/llm-websocket", "no URL"),
        ("wss://ana.example.com:99999/llm-websocket", "no URL"),
        ("wss://{{host}}/llm-websocket", "no URL with a host"),
        (f"{HOST}/llm-websocket/é", "no URL with a host"),
        (f"{HOST}/llm-websocket/{'x' * 3000}", "no URL with a host"),
        (f"{HOST}/llm websocket", "no space"),
        (f"wss://me:{SECRET}@ana.example.com/llm-websocket", "no user"),
        (f"{HOST}/llm-websocket#{SECRET}", "no #"),
        (f"https://ana.example.com/llm-websocket/{SECRET}", "wss://"),
        (f"ws://ana.example.com/llm-websocket/{SECRET}", "in clear"),
        (f"{HOST}/", "ends with /llm-websocket"),
        (f"{HOST}/{SECRET}", "ends with /llm-websocket"),
        (f"{HOST}/llm-websockets", "ends with /llm-websocket"),
        (f"{HOST}/llm-websocket/call_12345678906eaa0222bd3dd2a6c", "call's id"),
        (f"{HOST}/llm-websocket/{{call_id}}", "call's id"),
        (f"{HOST}/llm-websocket/short", "16 to 128"),
        (f"{HOST}/llm-websocket/{SECRET}/call_1", "16 to 128"),
    ],
)
def test_another_url_is_refused_in_a_line_that_holds_no_secret(given_: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        socket_address(given_)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)


def test_a_secret_that_is_not_the_servers_is_refused() -> None:
    with pytest.raises(UsageError, match="path_secret") as caught:
        socket_address(f"{HOST}/llm-websocket/{SECRET}", ("y" * 16,))
    assert SECRET not in str(caught.value) and "y" * 16 not in str(caught.value)


@given(secret=st.text(f"{ascii_letters}{digits}_-", min_size=16, max_size=128))
def test_our_server_takes_what_retell_dials_then(secret: str) -> None:
    address = socket_address(f"{HOST}/llm-websocket", (secret,))
    path = address.url.removeprefix(HOST)
    assert call_id_of(f"{path}/call_1", (secret.encode(),)) == "call_1"
    assert shortened(address.url) == str(address) == f"{HOST}/llm-websocket/•••"
    assert repr(address) == f"Address('{HOST}/llm-websocket/•••')"
    assert address.secrets() == (secret,)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"{HOST}/llm-websocket", f"{HOST}/llm-websocket"),
        (f"{HOST}/llm-websocket/{SECRET}?t=1", f"{HOST}/llm-websocket/•••?•••"),
        (f"wss://me:{SECRET}@ana.example.com:444/{SECRET}/x", "wss://ana.example.com:444/•••"),
        ("https://ana.example.com/webhook", "https://ana.example.com/webhook"),
        ("http://[::1]:8081/webhook/", "http://[::1]:8081/webhook"),
        ("https://ana.example.com", "https://ana.example.com"),
        ("https://ana.example.com:x/", "•••"),
        (SECRET, "•••"),
        ("", "•••"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shortened(url) == shown


def test_an_address_knows_what_is_not_shown_of_it() -> None:
    address = Address(f"https://me:word@ana.example.com/webhook/{SECRET}/two?key=3")
    assert set(address.secrets()) == {SECRET, "two", "key=3", "word"}
    assert Address(f"{HOST}/llm-websocket").secrets() == ()


def test_foreign_words_are_cleared_of_secrets_and_of_urls_and_made_a_short_line() -> None:
    said = f"bad\nllm_websocket_url '{HOST}/llm-websocket/{SECRET}' and\x1b[31m {SECRET} with key_1, {'x' * 400}"
    line = scrubbed(said, ("key_1", SECRET))
    assert line.startswith(f"bad llm_websocket_url '{HOST}/llm-websocket/•••' and [31m ••• with •••, xxx")
    assert len(line) == 300 and line.endswith("…")
    assert scrubbed("fine") == "fine"


@pytest.mark.parametrize(
    ("url", "is_odd"),
    [
        ("ws://localhost:8080/llm-websocket", True),
        ("wss://127.0.0.1/llm-websocket", True),
        ("wss://10.0.0.7/llm-websocket", True),
        ("wss://203.0.113.7.example.com/llm-websocket", False),
        ("wss://93.184.216.34/llm-websocket", False),
        (f"{HOST}/llm-websocket", False),
    ],
)
def test_an_address_that_retell_cannot_reach_is_odd(url: str, is_odd: bool) -> None:
    assert ("public addresses alone" in warning_of(Address(f"{url}/{SECRET}"))) == is_odd
    assert SECRET not in warning_of(Address(f"{url}/{SECRET}"))


@pytest.mark.parametrize("before", ["", "/voice", "/llm-websocket/of"])
@pytest.mark.parametrize("query", ["", "?t={{tenant}}"])
def test_an_address_for_everybody_has_a_secret(before: str, query: str) -> None:
    place = f"{HOST}{before}/llm-websocket"
    assert "set RETELL_WS_PATH_SECRET" in warning_of(socket_address(f"{place}{query}"))
    assert warning_of(socket_address(f"{place}/{SECRET}{query}")) == ""
    assert warning_of(socket_address(f"{place}{query}", [SECRET])) == ""


def test_a_webhook_goes_over_tls_or_stays_on_this_machine() -> None:
    assert webhook_address("https://ana.example.com/webhook").url == "https://ana.example.com/webhook"
    assert webhook_address("http://127.0.0.1:8081/webhook").url == "http://127.0.0.1:8081/webhook"
    for wrong in (f"http://ana.example.com/{SECRET}", f"wss://ana.example.com/{SECRET}", "/webhook"):
        with pytest.raises(UsageError, match="--webhook") as caught:
            webhook_address(wrong)
        assert SECRET not in str(caught.value)

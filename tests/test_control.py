"""Commands from outside: what is read as one, what is refused, and what they ask of a call; and letters of servers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.control import (
    MAX_TEXT,
    Command,
    Done,
    End,
    Look,
    NotHere,
    Order,
    Refused,
    Reply,
    Say,
    Seen,
    Status,
    Transfer,
    Update,
    perform,
    read,
)
from retell_ws.directory import Directory
from retell_ws.errors import CallError, WireError
from retell_ws.handle import Call
from retell_ws.intent import EndCall, Intent, TransferCall
from retell_ws.letters import MAX_LETTER, Letter, Request, Told, decode, encode
from retell_ws.wire import AgentConfig, CallInfo

ORDERS: list[Order] = [
    Say("Hello."),
    End(),
    End("Bye."),
    Transfer("billing"),
    Transfer("+14155550100", "One moment.", True),
    Update(responsiveness=0.5),
    Update(interruption_sensitivity=0, reminder_trigger_ms=1, reminder_max_count=0),
]

COMMANDS: list[Command] = [*ORDERS, Look()]

STATUS = Status("call_1", 1.5, True, "idle")

REPLIES: list[Reply] = [Done(), Done("redial"), Seen(STATUS), Refused("moved", "why"), NotHere(), NotHere(STATUS)]


class Written:
    """Controls that write down what is asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def place(self, generation: int | None, intent: Intent, words: str) -> None:
        self.asked.append((generation, intent, words))

    def say(self, generation: int | None, text: str) -> None:
        self.asked.append((generation, text))

    def update(self, config: AgentConfig) -> None:
        self.asked.append(config)

    def send(self, metadata: dict[str, Any]) -> None:
        raise AssertionError("no command does this")


def call(written: Written, **details: Any) -> Call:
    told = CallInfo(call_id="call_1", **details) if details else None
    return Call("call_1", told, directory=Directory({"billing": "+14155550100"}), controls=written)


# ---------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (b'{"text":"Hello."}', Say("Hello.")),
        (b'{"text":"%b"}' % (b"x" * MAX_TEXT), Say("x" * MAX_TEXT)),
        ('{"text":"Grüße \\ud83d\\ude00"}'.encode(), Say("Grüße 😀")),
        (b"", End()),
        (b"{}", End()),
        (b'{"message":"Bye."}', End("Bye.")),
        (b'{"to":"billing"}', Transfer("billing")),
        (b'{"to":"+14155550100","message":"m","show_caller":false}', Transfer("+14155550100", "m", False)),
        (b'{"responsiveness":0}', Update(responsiveness=0)),
        (
            b'{"reminder_trigger_ms":20000,"reminder_max_count":2}',
            Update(reminder_trigger_ms=20_000, reminder_max_count=2),
        ),
    ],
)
def test_a_body_is_a_command(body: bytes, command: Command) -> None:
    assert read(body, type(command)) == command


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        (Say, b"", "required field `text`"),
        (Say, b'{"text":""}', r"length >= 1 - at `\$.text`"),
        (Say, b'{"text":" \\n "}', "`text` is blank"),
        (Say, b'{"text":"%b"}' % (b"x" * (MAX_TEXT + 1)), r"length <= 2000 - at `\$.text`"),
        (Say, b'{"text":5}', r"got `int` - at `\$.text`"),
        (Say, b'{"text":"a","words":"b"}', "unknown field `words`"),
        (Say, b'["a"]', "Expected `object`"),
        (Say, b"text=a", "no JSON object"),
        (Say, b'{"text":"\xff"}', "no JSON object"),
        (Say, b'{"text":"\\ud800"}', "no JSON object"),
        (Say, b'{"text":"a"}{}', "no JSON object"),
        (Say, b'{"command":"end","text":"a"}', r"at `\$.command`"),
        (End, b'{"message":null}', r"at `\$.message`"),
        (End, b'{"message":"%b"}' % (b"x" * (MAX_TEXT + 1)), r"at `\$.message`"),
        (Transfer, b"{}", "required field `to`"),
        (Transfer, b'{"to":""}', r"at `\$.to`"),
        (Transfer, b'{"to":"%b"}' % (b"x" * 101), r"at `\$.to`"),
        (Transfer, b'{"to":"billing","show_caller":1}', r"at `\$.show_caller`"),
        (Update, b"{}", "nothing to change: give one of responsiveness, interruption_sensitivity"),
        (Update, b'{"responsiveness":null}', "nothing to change"),
        (Update, b'{"responsiveness":1.1}', r"<= 1.0 - at `\$.responsiveness`"),
        (Update, b'{"responsiveness":NaN}', "no JSON object"),
        (Update, b'{"interruption_sensitivity":-0.1}', r"at `\$.interruption_sensitivity`"),
        (Update, b'{"reminder_trigger_ms":0}', r"at `\$.reminder_trigger_ms`"),
        (Update, b'{"reminder_trigger_ms":1e400}', "no JSON object|at `"),
        (Update, b'{"reminder_max_count":-1}', r"at `\$.reminder_max_count`"),
    ],
)
def test_a_body_that_is_none_is_refused_with_the_field(kind: type[Command], body: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        read(body, kind)


def test_deep_nesting_is_refused_like_any_rubbish() -> None:
    with pytest.raises(WireError):
        read(b'{"text":' + b"[" * 60_000 + b"]" * 60_000 + b"}", Say)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: b'{"text":%b}' % msgspec.json.encode(text)))
def test_any_bytes_are_a_command_or_an_error_that_does_not_quote_them(body: bytes) -> None:
    try:
        assert 0 < len(read(body, Say).text) <= MAX_TEXT
    except WireError as exc:
        assert len(str(exc)) < 120


# ---------------------------------------------------------------------------- what they do


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        (Say("Hello."), (None, "Hello.")),
        (End("Bye."), (None, EndCall(), "Bye.")),
        (Transfer("Billing", "One moment.", True), (None, TransferCall("+14155550100", True), "One moment.")),
        (Update(reminder_max_count=0), AgentConfig(reminder_max_count=0)),
    ],
)
def test_a_command_asks_the_call_what_a_hook_would(command: Order, asked: object) -> None:
    written = Written()
    assert perform(command, call(written)) is None
    assert written.asked == [asked]


def test_a_target_nobody_listed_is_refused_as_such() -> None:
    written = Written()
    refused = perform(Transfer("+19005550000"), call(written))
    assert refused is not None and refused.kind == "no_target" and "choose one of: billing" in refused.why
    assert written.asked == []


def test_a_web_call_is_not_transferred() -> None:
    refused = perform(Transfer("billing"), call(Written(), call_type="web_call"))
    assert refused is not None and refused.kind == "impossible" and "web call" in refused.why


@pytest.mark.parametrize("command", ORDERS, ids=repr)
def test_a_call_that_is_over_refuses_everything(command: Order) -> None:
    refused = perform(command, Call("call_1", directory=Directory({"billing": "+14155550100"})))
    assert refused == Refused("impossible", "the call is over")


def test_a_call_that_cannot_do_it_says_why() -> None:
    class Leaving(Written):
        def place(self, generation: int | None, intent: Intent, words: str) -> None:
            raise CallError("the agent is leaving already")

    assert perform(End(), call(Leaving())) == Refused("impossible", "the agent is leaving already")


# ---------------------------------------------------------------------------- letters


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_a_request_comes_as_it_was_written(command: Command) -> None:
    letter = Request("id", "server-1", "call_1", command)
    assert decode(encode(letter)) == letter


@pytest.mark.parametrize("reply", REPLIES, ids=repr)
def test_a_reply_comes_as_it_was_written(reply: Reply) -> None:
    assert decode(encode(Told("id", "server-1", reply))) == Told("id", "server-1", reply)


@pytest.mark.parametrize("text", ["\u2028" * MAX_TEXT, '"' * MAX_TEXT, "\0" * MAX_TEXT, "😀" * MAX_TEXT])
def test_the_longest_command_fits_into_a_letter(text: str) -> None:
    longest = Request("i" * 128, "s" * 128, "c" * 128, Transfer("t" * 100, text if text.strip() else text, True))
    assert decode(encode(longest)) == longest


@pytest.mark.parametrize(
    "letter",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"letter":"request"}',
        b'{"letter":"other","id":"1"}',
        b'{"letter":"request","id":"1","sender":"a","call_id":"c","command":{"command":"shout"}}',
        b'{"letter":"request","id":"1","sender":"a","call_id":"c","command":{"command":"say","text":""}}',
        b'{"letter":"request","id":"1","sender":"a\\n","call_id":"c","command":{"command":"look"}}',
        b'{"letter":"request","id":"1","sender":"a","call_id":"c d","command":{"command":"look"}}',
        b'{"letter":"request","id":"1","sender":"","call_id":"c","command":{"command":"look"}}',
        b'{"letter":"told","id":"1","sender":"a","reply":{"reply":"refused","kind":"odd","why":""}}',
        b'{"letter":"request","id":"\xff","sender":"a","call_id":"c","command":{"command":"look"}}',
        b'{"letter":' + b"[" * 10_000,
        b'{"letter":"told","id":"1","sender":"a","reply":{"reply":"done"},"x":"%b"}' % (b"x" * MAX_LETTER),
    ],
    ids=lambda letter: letter[:60].decode("latin-1"),
)
def test_what_is_no_letter_is_refused(letter: bytes) -> None:
    with pytest.raises(WireError):
        decode(letter)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_letter_or_an_error(data: bytes) -> None:
    try:
        read_letter: Letter = decode(data)
    except WireError:
        return
    assert read_letter is not None

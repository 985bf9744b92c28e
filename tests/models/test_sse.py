"""MessageStream: bytes to deltas, whatever the cut."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.errors import ModelBroken
from retell_ws.models import sse, tool_blocks
from retell_ws.models.sse import MessageStream
from retell_ws.ports import WRITING, Delta, End, Text, ToolCall, Usage

from .parts import whole

ANSWER = (
    'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-haiku-5-5","id":"msg_1",'
    '"type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":25,'
    '"cache_creation_input_tokens":null,"cache_read_input_tokens":7,"output_tokens":1}}        }\n\n'
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
    '{"type":"text","text":""}   }\n\n'
    'event: ping\ndata: {"type": "ping"}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    '"text":"Grüß"}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    '"text":" dich 😀\\n"}}\n\n'
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},'
    '"usage":{"output_tokens":15}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
).encode()

DELTAS = [
    Text("Grüß"),
    Text(" dich 😀\n"),
    End(
        stop_reason="max_tokens",
        usage=Usage(input_tokens=25, output_tokens=15, cache_read_input_tokens=7),
        message_id="msg_1",
        model="claude-haiku-5-5",
        request_id="req_1",
    ),
]

STOP = b'data: {"type":"message_stop"}\n\n'


def text(words: str) -> bytes:
    return b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"%b"}}\n\n' % words.encode()


def event(data: str) -> bytes:
    return b"data: %b\n\n" % data.encode()


def tool_start(index: int = 1, *, id: str = "toolu_1", name: str = "book", given: str = "{}") -> bytes:
    return event(
        f'{{"type":"content_block_start","index":{index},"content_block":'
        f'{{"type":"tool_use","id":"{id}","name":"{name}","input":{given}}}}}'
    )


def tool_piece(partial: str, index: int = 1) -> bytes:
    quoted = msgspec.json.encode(partial).decode()
    return event(
        f'{{"type":"content_block_delta","index":{index},"delta":'
        f'{{"type":"input_json_delta","partial_json":{quoted}}}}}'
    )


def stop(index: int = 1) -> bytes:
    return event(f'{{"type":"content_block_stop","index":{index}}}')


def read(*pieces: bytes) -> list[Delta]:
    """Feed a stream that must be whole."""
    stream = MessageStream(request_id="req_1")
    deltas = [delta for piece in pieces for delta in stream.feed(piece)]
    stream.close()
    return whole(deltas)


def broken(*pieces: bytes) -> tuple[list[Delta], ModelBroken]:
    """Feed a stream that must fail."""
    stream = MessageStream(request_id="req_1")
    deltas = [delta for piece in pieces for delta in stream.feed(piece)]
    with pytest.raises(ModelBroken) as caught:
        stream.close()
    return whole(deltas), caught.value


def test_a_whole_answer_gives_its_texts_and_one_end() -> None:
    assert read(ANSWER) == DELTAS


def test_a_cut_at_any_byte_changes_nothing() -> None:
    for cut in range(len(ANSWER) + 1):
        assert read(ANSWER[:cut], ANSWER[cut:]) == DELTAS, cut


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_is_understood_byte_by_byte_and_whole(newline: bytes) -> None:
    data = ANSWER.replace(b"\n", newline)
    assert read(data) == DELTAS
    assert read(*(data[i : i + 1] for i in range(len(data)))) == DELTAS


def test_a_text_is_given_as_soon_as_its_event_is_complete() -> None:
    stream = MessageStream()
    assert stream.feed(text("one")[:-1]) == []
    assert stream.feed(b"\n") == [Text("one")]


def test_a_text_is_given_at_a_carriage_return_without_waiting_for_the_line_feed() -> None:
    stream = MessageStream()
    assert stream.feed(text("one").replace(b"\n", b"\r")) == [Text("one")]
    assert stream.feed(b"") == []
    assert stream.feed(b"\n" + text("two")) == [Text("two")]


def test_comments_other_fields_and_lines_of_data_are_read_as_the_standard_says() -> None:
    data = b': hello\nid: 4\nretry: 10\nnonsense\ndata:{"type":\ndata:"message_stop"}\n: bye\n\n'
    assert read(data) == [End(request_id="req_1")]


def test_an_event_without_data_is_no_event() -> None:
    assert read(b"event: message_stop\n\n\n\ndata:\n\n" + STOP) == [End(request_id="req_1")]


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"tomorrow","delta":"surprise","usage":[1]}',
        b'{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"hm"}}',
        b'{"type":"content_block_delta","delta":{"type":"chart_delta","text":{"x":1}}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}',
        b'{"type":"content_block_delta"}',
        b'{"type":"content_block_start","content_block":{"type":"thinking","text":"no"}}',
        b'{"type":"content_block_start"}',
        b'{"type":"message_start"}',
        b'{"type":"message_delta","delta":{"stop_reason":null}}',
        b'{"type":"message_delta"}',
        b'{"no":"type"}',
    ],
)
def test_what_is_unknown_or_empty_gives_nothing(data: bytes) -> None:
    assert read(b"data: " + data + b"\n\n" + STOP) == [End(request_id="req_1")]


def test_text_in_the_start_of_a_block_is_text() -> None:
    start = b'data: {"type":"content_block_start","content_block":{"type":"text","text":"Hi"}}\n\n'
    assert read(start + STOP)[0] == Text("Hi")


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b'"a string"',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":5}}',
        b'{"type":"content_block_delta","delta":"text"}',
        b'{"type":"content_block_delta","delta":null,"error":5}',
        b'{"type":"message_delta","usage":{"output_tokens":"many"}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"\xff"}}',
        b'{"x":' + b"[" * 50_000,
    ],
)
def test_an_event_that_cannot_be_read_breaks_the_stream(data: bytes) -> None:
    deltas, failure = broken(text("one") + b"data: " + data + b"\n\n" + text("two"))
    assert deltas == [Text("one")]
    assert "cannot be read" in str(failure)


def test_an_error_event_breaks_the_stream_after_the_text_before_it() -> None:
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    deltas, failure = broken(text("one") + error + text("two") + STOP)
    assert deltas == [Text("one")]
    assert (failure.kind, failure.request_id) == ("overloaded_error", "req_1")


def test_an_error_event_without_a_type_still_breaks_the_stream() -> None:
    assert broken(b'data: {"type":"error"}\n\n')[1].kind is None


def test_bytes_that_end_before_message_stop_are_a_broken_stream() -> None:
    for cut in range(0, len(ANSWER) - 1, 97):
        broken(ANSWER[:cut])


def test_nothing_counts_after_the_end() -> None:
    assert read(ANSWER + text("more") + STOP, text("and more"), STOP) == DELTAS


def test_an_event_longer_than_the_limit_breaks_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 200)
    assert "too long" in str(broken(text("one"), b"data: " + b"x" * 100, b"x" * 100)[1])
    deltas, failure = broken(text("one") + (b'data: "' + b"x" * 90 + b'"\n') * 3 + b"\n" + text("two"))
    assert deltas == [Text("one")]
    assert "too long" in str(failure)


def test_an_answer_longer_than_the_limit_breaks_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_STREAM_BYTES", 250)
    deltas, failure = broken(*[text("one")] * 5)
    assert 0 < len(deltas) < 5
    assert "too long" in str(failure)


def test_a_tool_call_comes_once_and_whole_when_its_block_ends() -> None:
    stream = MessageStream()
    assert stream.feed(text("Let me see.") + stop(0)) == [Text("Let me see.")]
    assert stream.feed(tool_start()) == [WRITING]
    assert stream.feed(tool_piece("") + tool_piece('{"day": "Tu') + tool_piece('esday", "é": 1}')) == [WRITING] * 3
    assert stream.feed(stop()) == [ToolCall(id="toolu_1", name="book", arguments='{"day": "Tuesday", "é": 1}')]
    assert stream.feed(stop() + STOP) == [End()]


def test_a_cut_at_any_byte_of_a_tool_call_changes_nothing() -> None:
    data = tool_start() + tool_piece('{"day":') + tool_piece('"4 \\"May\\""}') + stop() + text("Done.") + STOP
    expected = [
        ToolCall(id="toolu_1", name="book", arguments='{"day":"4 \\"May\\""}'),
        Text("Done."),
        End(request_id="req_1"),
    ]
    for cut in range(len(data) + 1):
        assert read(data[:cut], data[cut:]) == expected, cut


def test_pieces_belong_to_the_block_of_their_index_and_text_streams_between_them() -> None:
    data = (
        tool_start(1, id="a")
        + tool_start(2, id="b", name="cancel")
        + tool_piece("[1", 1)
        + tool_piece("[2", 2)
        + text("meanwhile")
        + stop(0)
        + tool_piece("]", 1)
        + tool_piece(",3]", 2)
        + stop(2)
        + stop(1)
    )
    assert read(data + STOP)[:-1] == [
        Text("meanwhile"),
        ToolCall(id="b", name="cancel", arguments="[2,3]"),
        ToolCall(id="a", name="book", arguments="[1]"),
    ]


@pytest.mark.parametrize(
    ("given", "pieces", "arguments"),
    [
        ("{}", [], ""),
        ("{}", [""], ""),
        ("null", [], ""),
        ('{"day":"Tuesday"}', [], '{"day":"Tuesday"}'),
        ('{"day":"Tuesday"}', [""], '{"day":"Tuesday"}'),
        ('{"day":"Tuesday"}', ["{}"], "{}"),
        ("{}", ['{"day": "Tues'], '{"day": "Tues'),
    ],
)
def test_arguments_are_the_pieces_or_else_what_the_start_held(given: str, pieces: list[str], arguments: str) -> None:
    data = tool_start(given=given) + b"".join(map(tool_piece, pieces)) + stop()
    assert read(data + STOP)[0] == ToolCall(id="toolu_1", name="book", arguments=arguments)


def test_a_start_without_input_or_index_is_read() -> None:
    start = event('{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"book"}}')
    piece = event('{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{}"}}')
    stop = event('{"type":"content_block_stop"}')
    assert read(start + piece + stop + STOP)[0] == ToolCall(id="t", name="book", arguments="{}")


def test_the_provider_s_own_tools_give_nothing() -> None:
    start = event(
        '{"type":"content_block_start","index":1,"content_block":'
        '{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}'
    )
    assert read(start + tool_piece('{"query": "x"}') + stop() + STOP) == [End(request_id="req_1")]


def test_an_answer_that_ends_inside_a_tool_call_is_broken() -> None:
    deltas, failure = broken(text("one") + tool_start() + tool_piece('{"day"') + STOP)
    assert deltas == [Text("one")]
    assert "inside a tool call" in str(failure)


def test_two_open_blocks_of_one_index_break_the_stream() -> None:
    assert "one index" in str(broken(tool_start() + tool_start())[1])
    assert len(read(tool_start() + stop() + tool_start() + stop() + STOP)) == 3


def test_arguments_longer_than_the_limit_break_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_blocks, "MAX_ARGUMENTS", 10)
    whole = tool_start() + tool_piece("12345") + tool_piece("67890") + stop()
    assert len(read(whole + STOP)) == 2
    deltas, failure = broken(text("one") + tool_start() + tool_piece("123456") + tool_piece("78901") + stop() + STOP)
    assert deltas == [Text("one")]
    assert "too long" in str(failure)
    assert "too long" in str(broken(tool_start(given='{"a":"12345"}'))[1])


@pytest.mark.parametrize(
    "data",
    [
        tool_start(index=1).replace(b'"index":1', b'"index":"one"'),
        tool_start().replace(b'"id":"toolu_1"', b'"id":null'),
        tool_start().replace(b'"name":"book",', b""),
        tool_start() + tool_piece("").replace(b'"partial_json":""', b'"partial_json":{}'),
        tool_start() + tool_piece("").replace(b'"partial_json":""', b'"text":5'),
        tool_start() + stop().replace(b'"index":1', b'"index":{}'),
    ],
)
def test_an_event_of_a_tool_s_block_that_cannot_be_read_breaks_the_stream(data: bytes) -> None:
    deltas, failure = broken(text("one") + data + stop() + STOP)
    assert deltas == [Text("one")]
    assert "cannot be read" in str(failure)


def test_a_failure_quotes_no_text() -> None:
    secret = b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"4111 1111"\n\n'
    failure = broken(secret)[1]
    assert "4111" not in repr(failure)
    assert failure.__cause__ is None


@given(
    st.lists(
        st.binary()
        | st.sampled_from([b"data: ", b"\n\n", b"\r", b"{}", STOP, text("a"), tool_start(), tool_piece("{"), stop()]),
        max_size=20,
    )
)
def test_any_bytes_give_deltas_or_a_model_error(pieces: list[bytes]) -> None:
    stream = MessageStream()
    deltas = [delta for piece in pieces for delta in stream.feed(piece)]
    try:
        stream.close()
    except ModelBroken:
        assert not any(isinstance(delta, End) for delta in deltas)
    else:
        assert isinstance(deltas[-1], End)
    assert sum(isinstance(delta, End) for delta in deltas) <= 1


@given(
    st.lists(
        st.sampled_from(
            [
                text("a"),
                text("é"),
                b": c\r\n\r\n",
                b"data: {}\r\r",
                STOP,
                b"data: {\n\n",
                tool_start(),
                tool_piece('{"a":'),
                stop(),
            ]
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_where_the_bytes_are_cut_never_matters(events: list[bytes], cuts: list[int]) -> None:
    data = b"".join(events)
    at_once = MessageStream()
    expected = at_once.feed(data)
    stream, deltas, at = MessageStream(), list[Delta](), 0
    for cut in [*sorted(cuts), len(data)]:
        deltas += stream.feed(data[at:cut])
        at = max(at, cut)
    assert deltas == expected
    assert (stream.done, stream.ended) == (at_once.done, at_once.ended)


def start(message: str) -> bytes:
    return event(f'{{"type":"message_start","message":{{"model":"m",{message}}}}}')


@pytest.mark.parametrize(
    ("diagnostics", "miss"),
    [
        ("null", ""),
        ('{"cache_miss_reason":null}', ""),  # the provider has not compared the requests yet
        ("{}", ""),
        ('{"cache_miss_reason":{"type":"messages_changed","cache_missed_input_tokens":9}}', "messages_changed"),
        *[(f'{{"cache_miss_reason":{{"type":"{name}"}}}}', name) for name in sorted(sse.CACHE_MISSES)],
        ('{"cache_miss_reason":{"type":"moon_phase"}}', "other"),
        ('{"cache_miss_reason":{"type":"%s"}}' % ("x" * 10_000), "other"),
        ('{"cache_miss_reason":{}}', "other"),
        ('{"cache_miss_reason":"messages_changed"}', "other"),
        ('{"cache_miss_reason":{"type":7}}', "other"),
        ("[[[[7]]]]", "other"),
        ("7", "other"),
    ],
)
def test_the_reason_of_a_miss_is_one_of_few_words_and_never_loses_the_answer(diagnostics: str, miss: str) -> None:
    *_, end = read(start(f'"diagnostics":{diagnostics}') + text("Hi.") + STOP)
    assert isinstance(end, End) and end.cache_miss == miss


@pytest.mark.parametrize(
    ("id", "told"), [('"msg_1"', "msg_1"), ("null", ""), (f'"{"x" * 128}"', "x" * 128), (f'"{"x" * 129}"', "")]
)
def test_the_id_of_the_answer_is_handed_on_unless_it_is_too_long_for_one(id: str, told: str) -> None:
    *_, end = read(start(f'"id":{id}') + STOP)
    assert isinstance(end, End) and end.message_id == told


def test_what_the_client_knows_of_the_connection_is_handed_on() -> None:
    stream = MessageStream(connect_s=0.25)
    assert stream.feed(STOP) == [End(connect_s=0.25)]

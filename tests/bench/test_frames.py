"""The load client's frames, against the sans-I/O server of `websockets` as the oracle."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from bench.harness.frames import CLOSE, PING, TEXT, BadFrame, FrameReader, frame, handshake


def upgraded() -> tuple[ServerProtocol, bytes]:
    """A server that accepted our handshake, and the bytes it answered."""
    server = ServerProtocol()
    server.receive_data(handshake("127.0.0.1", 80, "/llm-websocket/c1"))
    request = server.events_received()[0]
    server.send_response(server.accept(request))  # type: ignore[arg-type]  # the first event is the request
    return server, b"".join(server.data_to_send())


def test_a_server_accepts_our_handshake() -> None:
    server, answer = upgraded()
    reader = FrameReader()
    assert reader.feed(answer) == []
    assert reader.upgraded
    assert server.state.name == "OPEN"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_server_reads_our_frames_of_every_length(size: int) -> None:
    server, _ = upgraded()
    payload = b"x" * size
    server.receive_data(frame(payload))
    (event,) = server.events_received()
    assert isinstance(event, Frame)
    assert (event.opcode, event.data) == (Opcode.TEXT, payload)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_we_read_a_server_s_frames_of_every_length(size: int) -> None:
    server, answer = upgraded()
    server.send_text(b"y" * size)
    reader = FrameReader()
    assert reader.feed(answer + b"".join(server.data_to_send())) == [(TEXT, b"y" * size)]


def test_frames_cut_at_every_byte_come_out_whole() -> None:
    server, answer = upgraded()
    server.send_text(b"z" * 200)
    server.send_ping(b"p")
    server.send_close(1000)
    data = answer + b"".join(server.data_to_send())
    reader = FrameReader()
    found = [item for index in range(len(data)) for item in reader.feed(data[index : index + 1])]
    assert found == [(TEXT, b"z" * 200), (PING, b"p"), (CLOSE, b"\x03\xe8")]


def test_a_refused_handshake_tells_the_status() -> None:
    with pytest.raises(BadFrame, match="503"):
        FrameReader().feed(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


def test_a_fragmented_frame_is_refused() -> None:
    _, answer = upgraded()
    reader = FrameReader()
    reader.feed(answer)
    with pytest.raises(BadFrame, match="fragmented"):
        reader.feed(b"\x01\x01a")


def test_a_masked_frame_is_refused() -> None:
    _, answer = upgraded()
    reader = FrameReader()
    reader.feed(answer)
    with pytest.raises(BadFrame, match="masked"):
        reader.feed(frame(b"a"))

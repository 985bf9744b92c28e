"""The client side of RFC 6455, as little as a load generator needs: bytes in, payloads out. No I/O.

It is lean because it shares a core with the fake model and must cost a fraction of the server it measures: one
pass over the bytes, no masking loop. Servers send whole, unmasked frames; a fragmented or compressed one is
refused, because none of the measured servers may send it.
"""

from __future__ import annotations

import base64
import hashlib

__all__ = ["CLOSE", "PING", "PONG", "TEXT", "BadFrame", "FrameReader", "frame", "handshake"]

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

_KEY = base64.b64encode(b"retell_ws bench!").decode()
_ACCEPT = base64.b64encode(
    # S324 would be right about SHA-1 for security; here it is the handshake's own (RFC 6455 §1.3).
    hashlib.sha1(_KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
)

# RFC 6455 §5.3 wants an unpredictable mask, to protect proxies from hostile pages. There is neither here; a mask
# of zeros leaves the payload as it is, and costs the server what any other mask costs.
_ZERO_MASK = bytes(4)


class BadFrame(Exception):
    """The server sent what a load generator does not read."""


def handshake(host: str, port: int, path: str) -> bytes:
    """Write the upgrade request (RFC 6455 §4.1)."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Write one whole masked frame (RFC 6455 §5.2)."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        return bytes((first, 0x80 | size)) + _ZERO_MASK + payload
    if size < 65536:
        return bytes((first, 0x80 | 126)) + size.to_bytes(2, "big") + _ZERO_MASK + payload
    return bytes((first, 0x80 | 127)) + size.to_bytes(8, "big") + _ZERO_MASK + payload


class FrameReader:
    """Bytes of one connection in, frames out; the answer to the handshake comes first.

    Attributes:
        upgraded: Whether the server accepted the handshake.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.upgraded = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what arrived.

        Returns:
            Opcode and payload of every frame that is whole now.

        Raises:
            BadFrame: The upgrade was refused (the text is the status line), or a frame is fragmented,
                compressed or masked.
        """
        if self._rest:
            data = self._rest + data
        start = 0
        if not self.upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return []
            head = data[:end]
            if not head.startswith(b"HTTP/1.1 101") or _ACCEPT not in head:
                raise BadFrame(head.partition(b"\r\n")[0].decode(errors="replace"))
            self.upgraded = True
            start = end + 4
        frames = []
        size = len(data)
        while size - start >= 2:
            first, length = data[start], data[start + 1]
            begin = start + 2
            if length == 126:
                begin += 2
                length = int.from_bytes(data[start + 2 : begin], "big")
            elif length == 127:
                begin += 8
                length = int.from_bytes(data[start + 2 : begin], "big")
            elif length > 127:
                raise BadFrame("masked frame from a server")
            if first & 0xF0 != 0x80:
                raise BadFrame("fragmented or compressed frame")
            if size < begin + length:
                break
            frames.append((first & 0x0F, data[begin : begin + length]))
            start = begin + length
        self._rest = data[start:]
        return frames

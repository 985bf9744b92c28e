"""Retell's messages as the bench sends them: built once, joined per message. It reads none."""

from __future__ import annotations

__all__ = ["Script", "ping"]

_AGENT = "Of course. We have openings on Tuesday at nine and on Thursday at half past two. Which one suits you? "
_CALLER = "Well, Tuesday is difficult because of the school run, could it be a little later on that day?"


class Script:
    """The transcript of one call, of a fixed size, whose last words differ in every message.

    The words differ because a server may take a request in the same words for the same request.
    """

    def __init__(self, call: str, size_bytes: int) -> None:
        past: list[bytes] = []
        length = 200  # of the last utterance and the brackets, about
        roles = (("agent", _AGENT), ("user", _CALLER))
        while True:
            role, content = roles[len(past) % 2]
            item = f'{{"role":"{role}","content":"{content}","words":[]}},'.encode()
            if length + len(item) > size_bytes:
                break
            past.append(item)
            length += len(item)
        if past and len(past) % 2 == 0:
            past.pop()  # the caller speaks last, after the agent
        self._call = call
        self._head = b'"transcript":[' + b"".join(past)

    def words(self, turn: int) -> str:
        """The caller's last words in a turn; unique in a run."""
        return f"This is what I say in turn {turn} of call {self._call}."

    def required(self, response_id: int, turn: int) -> bytes:
        """A `response_required` (protocol §2.4)."""
        return (
            b'{"interaction_type":"response_required","response_id":%d,' % response_id
            + self._transcript(self.words(turn))
            + b"}"
        )

    def update(self, turn: int, part: int) -> bytes:
        """An `update_only` (protocol §2.3): the caller's words so far."""
        return (
            b'{"interaction_type":"update_only",'
            + self._transcript(f"This is what I say in turn {turn}, part {part}")
            + b"}"
        )

    def _transcript(self, words: str) -> bytes:
        return self._head + b'{"role":"user","content":"%s","words":[]}]' % words.encode()


def ping(timestamp: int) -> bytes:
    """A `ping_pong` (protocol §2.1); the timestamp comes back unchanged."""
    return b'{"interaction_type":"ping_pong","timestamp":%d}' % timestamp

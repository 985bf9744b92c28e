"""Checks of the first seconds: the upgrade, `config`, the begin message, the shape of every frame."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ..acceptance import Note
from ..checking import Failed, Server, Severity, Skipped, check, expect
from ..dial import DialError
from ..frames import Finding
from ..retell import CallEnded
from .asking import answered, asked, barrier, begun, connected, greeted


@check("§1.4", alone=True)
async def accepts_within_a_second(server: Server) -> str:
    """The upgrade is accepted at once: call setup waits for it, and Retell gives up after 7 s."""
    async with connected(server) as retell:
        limit_s = server.patience.accept_s
        expect(retell.connected_s <= limit_s, f"accepted after {retell.connected_s:.2f} s, over {limit_s:g} s")
        return f"accepted after {retell.connected_s * 1000:.0f} ms"


@check("§3.1")
async def config_comes_first(server: Server) -> str:
    """`config`, where one is sent, is the first frame, because Retell acts on it as it arrives."""
    async with greeted(server) as retell:
        await barrier(server, retell)
        late = _notes(retell.report.faults, Finding.LATE_CONFIG)
        expect(not late, "; ".join(late))
        options = [name for name in ("auto_reconnect", "call_details") if getattr(retell.rules.options, name)]
        return f"on: {', '.join(options) or 'nothing'}"


@check("§4.4", alone=True)
async def begins_with_id_0(server: Server) -> str:
    """The begin message is sent unasked and completed: until then the agent is mute."""
    async with connected(server) as retell:
        text = await begun(server, retell)
        took = retell.rules.exchanges[0].completed_at or 0.0
        took_ms = (took - retell.rules.exchanges[0].asked_at) * 1000
        return f"{len(text)} characters, complete after {took_ms:.0f} ms" if text else "empty: the caller speaks first"


@check("§4.4")
async def begin_message_is_sent_once(server: Server) -> str:
    """Id 0 is completed exactly once, and nothing follows its completion."""
    async with greeted(server) as retell:
        await barrier(server, retell)
        count = retell.report.completions[0]
        expect(count == 1, f"id 0 was completed {count} times")
        late = _notes(retell.report.faults, Finding.AFTER_COMPLETION)
        expect(not late, f"after the completion: {late[:1]}")
        return "one completion"


@check("§2.2")
async def greets_without_call_details(server: Server) -> str:
    """The begin message comes, and questions are answered, even if `call_details` never does."""
    async with greeted(server, details=None) as retell:
        answer = await asked(server, retell)
        return f"answered with {answer.frames} frames"


@check("§1.6")
async def frames_are_text(server: Server) -> str:
    """No frame is binary: Retell closes with 1007 on the first, and the call is over."""
    return await _none_of(server, Finding.BINARY)


@check("§3")
async def frames_are_known_messages(server: Server) -> str:
    """Every frame is a JSON object of one of the eight kinds."""
    return await _none_of(server, Finding.NOT_JSON, Finding.UNKNOWN_KIND)


@check("§3.3")
async def fields_have_their_types(server: Server) -> str:
    """Every field has the type the protocol gives it: Retell drops the frame otherwise, without a word."""
    return await _none_of(server, Finding.WRONG_TYPE)


@check("§3", severity=Severity.SHOULD)
async def response_type_is_named(server: Server) -> str:
    """Every frame names its `response_type`; one without it is taken for a `response`."""
    return await _none_of(server, Finding.NO_RESPONSE_TYPE)


@check("§3.3")
async def no_id_is_invented(server: Server) -> str:
    """Text carries the id that was asked for, and no other."""
    return await _none_of(server, Finding.NEVER_ASKED)


@check("§10")
async def passes_the_smoke_test_of_the_docs(server: Server) -> str:
    """Call id `test-call-id`, no `call_details`, an empty transcript: id 1 is answered."""
    async with connected(server, call_id="test-call-id") as retell:
        answer = await answered(server, retell, await retell.request(transcript=[]))
        return f"{answer.frames} frames for id 1"


@check("§1.2")
async def any_shape_of_call_id_is_taken(server: Server) -> str:
    """Call ids are opaque: the recent shape, the mixed-case one of the docs, and a long one all get in."""
    mixed = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(32))
    shapes = (f"call_{secrets.token_hex(14)[:27]}", mixed, f"{'A-b_' * 24}{secrets.token_hex(16)}")
    for call_id in shapes:
        async with connected(server, call_id=call_id) as retell:
            await begun(server, retell)
    return f"{len(shapes)} shapes"


@check("§1.2", severity=Severity.SHOULD)
async def a_query_string_is_taken(server: Server) -> str:
    """A query behind the call id does not break the route; a templated one may hold an unset variable."""
    url = f"{server.url}{'&' if '?' in server.url else '?'}tenant=%7B%7Btenant_id%7D%7D"
    async with connected(server, url=url) as retell:
        await begun(server, retell)
        return "accepted with ?tenant={{tenant_id}}"


@check("§1.6", severity=Severity.SHOULD)
async def a_wrong_path_is_refused_before_accept(server: Server) -> str:
    """A path that is not the server's own gets an HTTP status instead of a socket that would have to be closed."""
    url = server.with_path(f"/no-such-path-{secrets.token_hex(4)}/of/this/server")
    try:
        async with server.call(url=url):
            raise Failed("a socket was opened for a path nobody configured")
    except DialError as exc:
        if exc.status is None:
            raise Skipped(f"no HTTP answer: {exc}") from None
        return f"refused with {exc.status}"


async def _none_of(server: Server, *findings: Finding) -> str:
    """Greeting, one turn and a ping: none of these findings."""
    async with connected(server) as retell:
        other: Exception | None = None
        try:
            await begun(server, retell)
            await asked(server, retell)
            await barrier(server, retell)
        except (Failed, CallEnded) as exc:
            other = exc  # perhaps only the consequence of what is looked for
        seen = [note for finding in findings for note in _notes(retell.report.faults, finding)]
        expect(not seen, "; ".join(seen[:3]))
        if other is not None:
            raise other
        return f"{retell.report.frames} frames"


def _notes(faults: Iterable[Note], finding: Finding) -> list[str]:
    return [note.detail for note in faults if note.finding is finding]

"""What the marks § in this project point at: Retell's custom-LLM protocol in numbered sections, a sentence for each.

Retell describes the protocol on the pages "LLM WebSocket" and "Custom LLM" of its documentation, which number nothing.
Where those are silent the sentence says what is safe; section 9 holds such cases by the number of the open question.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SECTIONS"]

SECTIONS: Final = {
    "1.1": "Retell is the client; one WebSocket a call, opened when the call starts, for up to two hours.",
    "1.2": "It dials the configured URL with the call id as the last part of the path; a query stays.",
    "1.3": "A plain RFC 6455 handshake: no authentication, no sub-protocol, nothing signed.",
    "1.4": "Three attempts of seven seconds, three seconds apart; then the call has failed.",
    "1.5": "With `auto_reconnect` it pings every two seconds; five without an echo and it redials, twice at most.",
    "1.6": "1000 hangs up, any other close code ends the call in error; a drop without a close frame is redialled.",
    "1.7": "A redial is a new socket for the same call, and brings the whole transcript again.",
    "1.7.1": "Calls are known by their id, not by a socket: a second socket replaces the first.",
    "1.7.2": "`config` is sent on every socket.",
    "1.7.3": "The caller is greeted once a call; after that, id 0 is completed without words.",
    "1.7.4": "An answer that was under way goes on under its id, with the first word not yet sent.",
    "1.7.5": "A call is kept for some 30 seconds without a socket, as long as Retell may take to redial.",
    "1.8": "The socket proves nothing about who dials: a secret in the path does, and asking the REST API.",
    "1.9": "One JSON object a text frame. Every message holds the whole transcript, so messages grow to megabytes.",
    "2": "What Retell sends, told apart by `interaction_type`. Unknown kinds and fields are to be ignored.",
    "2.1": "`ping_pong`: Retell's clock in milliseconds, to be echoed.",
    "2.2": "`call_details`: who calls, after our `config` asked for it; only `call_id` can be relied on.",
    "2.3": "`update_only`: the transcript moved on. It starts, cancels and supersedes nothing.",
    "2.4": "`response_required`: an answer is wanted; ids count up from 1, and 0 is the begin message.",
    "2.5": "`reminder_required`: the caller fell silent; an id of the same counter.",
    "2.6": "Utterances: everything said so far; the last one may change, and a barge-in leaves the agent's cut.",
    "2.7": "`transcript_with_tool_calls`: the transcript with tool calls, pressed keys and injected text in between.",
    "2.8": "Keys the caller presses come as items of `transcript_with_tool_calls`, and nowhere else for certain.",
    "3": "What the server sends, told apart by `response_type`.",
    "3.1": "`config`: the first message of a socket; asks for pings, details, tool calls in the transcript.",
    "3.2": "`ping_pong`: the echo.",
    "3.3": "`response`: pieces of text for one id, the last one complete; an action runs when all of it was spoken.",
    "3.4": "`agent_interrupt`: speak now; cancels the response under way.",
    "3.5": "`tool_call_invocation`, `tool_call_result`: bookkeeping.",
    "3.6": "`update_agent`: how eagerly the agent speaks, each value within its range.",
    "3.7": "`metadata`: any object, for the browser of a web call.",
    "4.1": "Text counts for the newest id only, until that is complete; speech begins with a complete sentence.",
    "4.2": "Retell asks as soon as the caller sounds finished, so several ids a sentence are normal.",
    "4.3.3": "A caller who takes the floor has withdrawn nothing: an open request is still to be answered.",
    "4.3.4": "Ids only grow; one that comes twice, or too late, is not answered again.",
    "4.3.5": "Every id that was not superseded is completed, once.",
    "4.3.7": "Retell waits for an answer for ever, so the server keeps the deadlines.",
    "4.4": "The begin message, id 0, is sent unasked, also when it is empty; until then the agent is mute.",
    "4.6": "What a tool did for an id that was superseded is done: it must not be done again for the next one.",
    "5": "Webhooks: Retell tells of a call over HTTP, too.",
    "5.2": "The events of a call, with its call object under `call`; what belongs to a transfer stands beside it.",
    "5.3": "Ten seconds for any 2xx, and up to three more tries, so the same event may come again.",
    "5.4": "Signed by HMAC-SHA256 over the raw body and the time in milliseconds, which is good for five minutes.",
    "6.2": "An agent with an LLM of its own: its URL and voice; a draft may change, a published version stays.",
    "6.5": "The list of calls: typed filters joined by AND, pages, no transcripts.",
    "6.6": "The call object: who, when, why it ended, the transcript, latencies and costs; most of it optional.",
    "6.8": "Why a call ended, in Retell's words.",
    "7": "Retell's latency is counted to the first complete sentence.",
    "9.4": "Whether ids go on over a redial is not said: the first request of a new socket may start anew.",
    "9.9": "Frame sizes and rates are not said: 8 KB and some 50 frames a second are safe.",
    "9.15": "What follows an answer that `agent_interrupt` cancelled is not said: it is taken as dropped.",
    "9.18": "Whether false or null action fields cancel an earlier action is not said: they are left out.",
    "10": "What a server should do to be ready for Retell, and what a fake Retell should do to it.",
}
"""Sections by number."""

"""Why calls ended, in plain words, and what to look at when nobody wished it (§6.8). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["REASONS", "Reason", "reason_of"]


class Reason(msgspec.Struct, frozen=True):
    """What one of Retell's words means.

    Attributes:
        said: In a few words.
        check: What to look at, as the end of a sentence; empty where nothing went wrong that could be mended here.
        is_ours: It concerns the socket to this server.
    """

    said: str
    check: str = ""
    is_ours: bool = False


REASONS: Final[Mapping[str, Reason]] = {
    # The call took place.
    "user_hangup": Reason("the caller hung up"),
    "agent_hangup": Reason("the agent hung up"),
    "user_requested_dnc": Reason("the caller wants no calls"),
    "user_requested_callback": Reason("the caller wants to be called later"),
    "call_transfer": Reason("transferred"),
    "transfer_bridged": Reason("transferred"),
    "transfer_cancelled": Reason("a transfer was broken off"),
    "call_take_over": Reason("a person took over"),
    "manual_stopped": Reason("stopped by hand"),
    "voicemail_reached": Reason("a voicemail answered"),
    "ivr_reached": Reason("a machine with a menu answered"),
    "machine_detected": Reason("a machine answered"),
    "inactivity": Reason(
        "nobody spoke",
        "whether the greeting came: the calls of a mute agent end like this, too, and `retell_ws check` finds out.",
    ),
    "max_duration_reached": Reason("it reached the longest time allowed"),
    "no_concurrency_fallback": Reason("too many calls at once, handed to the fallback number"),
    # It could not be placed.
    "dial_busy": Reason("busy"),
    "dial_failed": Reason("the number could not be dialled"),
    "dial_no_answer": Reason("nobody answered"),
    "invalid_destination": Reason("there is no such number"),
    "telephony_provider_permission_denied": Reason("the phone company does not allow this number"),
    "telephony_provider_unavailable": Reason("the phone company was not there"),
    "sip_routing_error": Reason("the phone call went nowhere", "the SIP trunk of the number, in Retell."),
    "marked_as_spam": Reason("refused as spam"),
    "network_blocked": Reason("the phone network refused it"),
    "user_declined": Reason("declined"),
    # The account.
    "concurrency_limit_reached": Reason(
        "too many calls at once", "the account's limit of calls at once, in Retell; this server has `max_calls`."
    ),
    "no_valid_payment": Reason("the account has no valid payment", "billing, in Retell."),
    "credit_exhausted": Reason("the account's credit is used up", "billing, in Retell."),
    "budget_reached": Reason("the account's budget is used up", "billing, in Retell."),
    "scam_detected": Reason("Retell took it for a scam"),
    # The socket to this server.
    "error_llm_websocket_open": Reason(
        "Retell could not open the socket",
        "the agent's URL (`retell_ws register --check` dials it), the secret in its path, the certificate, whether the "
        "server was up and not full. Three attempts of 7 s each failed; or the socket was closed without a code.",
        is_ours=True,
    ),
    "error_llm_websocket_lost_connection": Reason(
        "the socket went silent",
        "what stood still for 5 s, three times: the server (`retell_ws_loop_stall_seconds`), a proxy that buffers, the "
        "network.",
        is_ours=True,
    ),
    "error_llm_websocket_runtime": Reason(
        "the socket was closed",
        "a proxy that ends sockets (its limits of time and size), or more than four drops in one call: servers that "
        "were killed or restarted. The log of the server has the call's id.",
        is_ours=True,
    ),
    "error_llm_websocket_corrupt_payload": Reason(
        "Retell could not read what it was sent",
        "what is between the server and Retell: this server sends text frames of JSON alone. `retell_ws check` with "
        "the agent's URL goes the same way.",
        is_ours=True,
    ),
    # Retell, and the caller's side of it.
    "error_no_audio_received": Reason("nothing was heard from the caller's line"),
    "error_asr": Reason("Retell could not hear", "Retell's status page."),
    "error_retell": Reason("a fault of Retell's", "Retell's status page."),
    "error_unknown": Reason("a fault nobody knows", "the call's log in Retell's dashboard."),
    "error_user_not_joined": Reason("the browser did not join within 30 s"),
    "registered_call_timeout": Reason("the registered call was not dialled within 5 minutes"),
    # In older records.
    "error_inbound_webhook": Reason("the webhook of the number failed"),
    "error_frontend_corrupted_payload": Reason("the browser sent what cannot be read"),
    "error_twilio": Reason("a fault of the phone company's"),
}
"""By Retell's word."""

STATES: Final[Mapping[str, str]] = {
    "registered": "has not begun",
    "ongoing": "goes on",
    "not_connected": "was not connected",
    "ended": "ended",
    "error": "ended in error",
}


def reason_of(reason: str | None, status: str | None) -> Reason:
    """Say why a call ended.

    Args:
        reason: Its `disconnection_reason`; None while there is none.
        status: Its `call_status`.

    Returns:
        What the word means; the word itself, where it is a new one.
    """
    if reason:
        return REASONS.get(reason) or Reason(reason)
    return Reason(STATES.get(status or "", status or "it does not say"))

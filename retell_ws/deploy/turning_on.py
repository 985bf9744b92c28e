"""What `blueprint apply` leaves to be turned on: settings, a secret, a word in the agent. No I/O."""

from __future__ import annotations

from collections.abc import Collection

from ..settings import BUDGETS_MS
from .files import Blueprint

__all__ = ["turning_on"]


def turning_on(
    blueprint: Blueprint, needs: Collection[str], *, p95_ms: int | None, speculates: bool, several: bool, kafka: bool
) -> tuple[str, ...]:
    """Tell what to do in `DIR`, when `apply` has written its files there, before the servers are started.

    Args:
        blueprint: Which one was applied.
        needs: What is needed, names out of `NEEDS`.
        p95_ms: The first sentence's, in milliseconds; None: nobody says.
        speculates: The model is to be asked before Retell asks.
        several: There is more than one server.
        kafka: Facts go to Kafka, and consumers are processes of their own.

    Returns:
        Lines; those of a command begin with `$ `.
    """
    found: list[str] = []
    if settings := _settings(blueprint, needs, p95_ms=p95_ms, speculates=speculates, several=several):
        said = " ".join(f'"{each}"' for each in settings)  # in marks in which the shell puts in what nproc says
        found.append(f"$ printf '%s\\n' {said} >> DIR/retell_ws.toml")
    if "workers" in needs and several:
        # Second ports follow each other: those of a server's workers would be the next servers'.
        found.append(
            "workers: on one machine the servers are its processes, --servers of apply says how many; "
            "where each has a machine of its own, set workers in retell_ws.toml"
        )
    if "answer-cache" in needs:
        found.append("answer-cache: write Agent(cache=True) into the agent")
    if "live-control" in needs:
        found.append("live-control: fill in RETELL_WS_ADMIN_TOKEN in DIR/retell_ws.env")
    if "webhooks" in needs:
        found.append("webhooks: fill in RETELL_API_KEY in DIR/retell_ws.env, and give Retell https://YOUR_HOST/webhook")
    if "escalation" in needs:
        found.append(
            "escalation: make the rules in DIR/rules.toml yours; what signs their webhooks is "
            "RETELL_WS_WEBHOOK_SECRET in DIR/retell_ws.env"
        )
    if "escalation" in needs and kafka:
        found.append("escalation: have `retell_ws consume escalation --config DIR/retell_ws.toml` run as well")
    return tuple(found)


def _settings(
    blueprint: Blueprint, needs: Collection[str], *, p95_ms: int | None, speculates: bool, several: bool
) -> list[str]:
    """Give lines of `retell_ws.toml` that the blueprint does not have by itself."""
    found = []
    if speculates and blueprint == "single":
        found.append("speculate = true")
    if p95_ms is not None and p95_ms != BUDGETS_MS[blueprint]:
        found.append(f"budget_ms = {p95_ms}")
    if "workers" in needs and not several:
        found.append("workers = $(nproc)")
    if "escalation" in needs:
        found.append("rules = 'DIR/rules.toml'")
    return found

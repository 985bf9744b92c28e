"""A support line in stages: it finds the order first, then answers about it, and hands on what it cannot solve."""

from __future__ import annotations

import msgspec

from retell_ws import Agent, Call, ToolError, Transfer, serve

ORDERS = {"1007": ("+14155550123", "shipped on Monday"), "1008": ("+14155550188", "being packed")}
"""The caller's number and the state of each order; stands here for the shop's own system."""


class Stage(msgspec.Struct):
    """What this call has come to.

    Attributes:
        order: The caller's order, once it was found.
    """

    order: str = ""


def instructions(call: Call) -> str:
    """Say what the agent is to do at this stage of the call."""
    who = "You are Leo of Northwind Support, on the phone. Answer in one or two short sentences. "
    if not call.state.order:
        return who + "Ask for the order number and find the order. Tell nothing about orders before."
    return who + f"The caller's order is {call.state.order}. Answer questions about it; hand on anything else."


agent = Agent(
    instructions,
    greeting="Northwind Support, this is Leo. What is your order number?",
    state=Stage,
    transfers={
        "billing": Transfer("+14155550150", description="invoices and refunds"),
        "a person": Transfer("+14155550151", description="everything else", message="I will connect you."),
    },
    end_call=True,
    keypad=True,
)


@agent.tool(side_effect=False)
async def find_order(call: Call, order_number: str) -> str:
    """Find the caller's order.

    Args:
        order_number: the order number
    """
    number, _ = ORDERS.get(order_number.strip(), ("", ""))
    if not number or number != call.caller.number:
        raise ToolError("There is no such order under the number this call comes from.")
    call.state.order = order_number.strip()
    return "I found your order. What would you like to know?"


@agent.tool(side_effect=False, when=lambda call: bool(call.state.order))
async def order_status(call: Call) -> str:
    """Tell where the caller's order is."""
    return f"Your order is {ORDERS[call.state.order][1]}."


if __name__ == "__main__":
    serve(agent)

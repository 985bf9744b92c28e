"""A support line in two stages: it finds the caller's order, then answers about it; people do the rest.

Try it: retell_ws chat support.py --from-number +14155550123, and order 1007.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from retell_ws import Agent, Call, ToolError, Transfer, serve


class Order(NamedTuple):
    """One order.

    Attributes:
        phone: The number it was placed from.
        status: Where it is, in words that can be spoken.
    """

    phone: str
    status: str


# Stands for the shop's own system.
ORDERS = {
    "1007": Order("+14155550123", "It was shipped on Monday and should be with you by Thursday."),
    "1008": Order("+14155550188", "It is being packed, and leaves tomorrow."),
}


class Stage(msgspec.Struct):
    """How far a call has come. Each call has one of its own.

    Attributes:
        order: The number of the caller's order; empty until it was found.
    """

    order: str = ""


def is_found(call: Call) -> bool:
    """Tell the second stage from the first."""
    return bool(call.state.order)


def instructions(call: Call) -> str:
    """Say what the agent is to do at this stage."""
    leo = "You are Leo of Northwind Support, on the phone. Answer in one or two short sentences. "
    if is_found(call):
        return leo + f"You found the caller's order, {call.state.order}. Tell its status, and hand on anything else."
    return leo + "Ask for the order number, spoken or typed on the keypad, and find the order."


agent = Agent(
    instructions,
    greeting="Northwind Support, this is Leo. What is your order number?",
    state=Stage,
    transfers={
        "billing": Transfer("+14155550150", description="invoices and refunds"),
        "a person": Transfer("+14155550151", description="everything else"),
    },
    end_call=True,
    keypad=True,
)


@agent.tool(side_effect=False, when=lambda call: not is_found(call))
async def find_order(call: Call, order_number: str) -> str:
    """Find the caller's order."""
    number = "".join(filter(str.isdigit, order_number))
    order = ORDERS.get(number)
    # One answer for what does not exist and for what is not the caller's: it gives nothing away.
    if order is None or order.phone != call.caller.number:
        raise ToolError("I cannot find that order under your phone number. Could you say it again?")
    call.state.order = number
    return "I have found your order. What would you like to know?"


@agent.tool(side_effect=False, when=is_found)
async def order_status(call: Call) -> str:
    """Tell where the caller's order is."""
    return ORDERS[call.state.order].status


if __name__ == "__main__":
    serve(agent)

"""The agent that the bench serves, which allows the answer cache."""

from retell_ws import Agent

agent = Agent(
    "You are Ana, the receptionist of Harbor Clinic. Answer in one or two short sentences.",
    greeting="Harbor Clinic, this is Ana. How can I help?",
    cache=True,
)

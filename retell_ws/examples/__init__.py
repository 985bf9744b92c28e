"""Agents to start from; `retell_ws new` copies one."""

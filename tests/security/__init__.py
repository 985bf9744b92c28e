"""Attacks on a real server, and what defends it: `table.py` says which test belongs to which row."""

"""Tests of the bench: its pure parts, and that one bench runs from end to end."""

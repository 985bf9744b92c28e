"""Implementations of `ports.Switchboard`."""

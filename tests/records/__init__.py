"""Entries as releases wrote them: what is read today has to be read by every later version."""

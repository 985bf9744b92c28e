"""Tests of what users import in theirs."""

"""Tests of what is asked of Retell's REST API."""

"""Tests of `blueprint validate`: each check passes on a good set-up, and fails on a broken one."""

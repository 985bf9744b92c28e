"""Fuzz targets: whatever comes in from outside, as any bytes and as nearly right ones.

Each states what holds for all of them: only the reader's own error is raised, what is read can be written and read
again, where it is cut makes no difference, and what is held of it is bounded. How much is tried hangs on the profile: a
second a target as a rule, always the same; hours with

    HYPOTHESIS_PROFILE=long pytest --timeout=0 tests/fuzz

Where a property was stated beside the module already, it stays there; here are the inputs it did not reach: mended
surrogates, deep nesting, streams of right events with wrong ones between them, bodies that were signed.
"""

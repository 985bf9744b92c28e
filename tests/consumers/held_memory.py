"""How much memory libraries in C and C++ hold, as the C library counts it: it is the same each time, as RSS is not."""

from __future__ import annotations

import ctypes
import gc

import pytest

__all__ = ["held_kib"]


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def held_kib() -> float:
    """Count what was asked for and not given back, in KiB; skips the test where nobody counts it."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        pytest.skip("the C library is not glibc 2.33 or later")
    mallinfo2.restype = _Mallinfo2
    gc.collect()
    found = mallinfo2()
    return float(found.uordblks + found.hblkhd) / 1024

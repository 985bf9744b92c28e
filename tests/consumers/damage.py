"""Parts as a disk may leave them."""

from __future__ import annotations

from contextlib import closing
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from retell_ws.consumers.parts import connect


def beyond(whole: bytes) -> bytes:
    """Have its footer lead beyond its end, as one flipped bit may."""
    begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    changed = bytearray(whole)
    with TemporaryDirectory() as folder, closing(connect()) as db:
        file = Path(folder, "part.parquet")
        for at, bit in product(range(begin, len(whole) - 8), range(8)):
            changed[at] ^= 1 << bit
            file.write_bytes(changed)
            try:
                db.execute("SELECT max(hash(one)) FROM read_parquet(?) one", [str(file)]).fetchall()
            except duckdb.IOException:
                return bytes(changed)
            except duckdb.Error:
                pass
            changed[at] = whole[at]
    raise AssertionError("there is no such bit")

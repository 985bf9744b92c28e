"""Where documents go: a file is replaced whole, and what is no file is written to."""

from __future__ import annotations

import os
from pathlib import Path

from retell_ws.commands.output import put_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    for text in ("one", "two"):
        put_whole(text, out)
        assert out.read_text() == text
    assert list(tmp_path.iterdir()) == [out]


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    # As /dev/null, and /dev/stdout before another command: root may replace those.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        put_whole("a page", pipe)
        assert pipe.is_fifo()
        assert os.read(reader, 100) == b"a page"
    finally:
        os.close(reader)

"""A process that writes rows and tidies until it is killed: `python -m tests.consumers.part_writer FOLDER FIRST`.

It prints the number of each row when the row is safe, and writes every third row twice.
"""

from __future__ import annotations

import sys
from itertools import count

from retell_ws.consumers import parts as module
from retell_ws.consumers.parts import Parts, day_of, place

from .test_parts import NOTES, NOW, row

module.MANY = 4  # type: ignore[misc]  # merge all the time, to be killed in it


def main() -> None:
    """Write until killed."""
    with Parts(place(sys.argv[1]), NOTES) as parts:
        for number in count(int(sys.argv[2])):
            day = day_of(NOW - 86_400 * (number % 3))
            parts.write({day: [row(number, version=1)]})
            if number % 3 == 0:
                parts.write({day: [row(number, version=2)]})
            print(number, flush=True)  # noqa: T201
            parts.tidy(NOW)


if __name__ == "__main__":
    main()

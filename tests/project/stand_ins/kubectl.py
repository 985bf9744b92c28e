"""In place of kubectl: are the manifests there, and each an object with a kind and a name?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]


def apply(there: Path) -> None:
    """Bring a file, or all of a folder, to the cluster."""
    files = sorted(there.glob("*.yaml")) if there.is_dir() else [there]
    if not files:
        sys.exit(f"{there} has no manifests")
    for path in files:
        for document in yaml.safe_load_all(path.read_text()):
            kind, name = document["kind"], document["metadata"]["name"]
            sys.stdout.write(f"{kind}/{name} created\n")


def main() -> None:
    """Read the command line as far as the README uses kubectl's."""
    parser = argparse.ArgumentParser("kubectl", allow_abbrev=False)
    parser.add_argument("action", choices=["apply"])
    parser.add_argument("-f", type=Path, required=True)
    apply(parser.parse_args().f)


if __name__ == "__main__":
    main()

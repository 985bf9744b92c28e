"""`scripts/kafka`, where the machine is slow: with a stand-in for Java, which listens as Kafka does.

Genuine brokers are started by it in `test_readme_commands.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import free_ports

ROOT = Path(__file__).resolve().parents[2]

JAVA = """\
import pathlib, socket, sys
if "-version" in sys.argv:
    print('openjdk version "17.0.1"', file=sys.stderr)
elif "format" not in sys.argv:
    properties = dict(line.split("=", 1) for line in pathlib.Path(sys.argv[-1]).read_text().splitlines())
    port = int(properties["advertised.listeners"].rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("Kafka Server started", flush=True)
        while True:
            listener.accept()[0].close()
"""

DEAD_JAVA = JAVA.replace("    with ", "    sys.exit('no memory')\n    with ")

LATE_PS = """\
#!/bin/bash
# The first time it is asked, what was forked is not Java yet.
if [ ! -e "$0.asked" ]; then
    touch "$0.asked"
    echo 'bash scripts/kafka start'
else
    exec /bin/ps "$@"
fi
"""


class Project:
    """A folder with the script in it.

    Args:
        folder: Empty as yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = str(free_ports(2)[0])
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        libs = folder / ".kafka" / "libs"
        libs.mkdir(parents=True)
        pom = (folder / "scripts" / "kafka.pom.xml").read_bytes()
        stamp = subprocess.run(("cksum",), input=pom, capture_output=True, check=True).stdout.strip()
        (libs / "complete").write_bytes(stamp)
        (folder / "bin").mkdir()
        self.has("java", f'#!/bin/sh\nexec "{sys.executable}" "{folder}/java.py" "$@"\n')
        (folder / "java.py").write_text(JAVA)

    def has(self, name: str, script: str) -> None:
        """Have a program of this name in front of the machine's."""
        path = self._folder / "bin" / name
        path.write_text(script)
        path.chmod(0o700)

    def java(self, program: str) -> None:
        """Have this for Java."""
        (self._folder / "java.py").write_text(program)

    def kafka(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            (self._folder / "scripts" / "kafka", command, "--port", self.port),
            env={"PATH": f"{self._folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self._folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    one = Project(tmp_path)
    yield one
    one.kafka("stop")


def test_a_broker_that_is_no_java_process_yet_is_waited_for(project: Project) -> None:
    project.has("ps", LATE_PS)
    done = project.kafka("start")
    assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{project.port}\n"), done.stderr
    assert project.kafka("status").returncode == 0


def test_a_broker_that_dies_is_told_with_its_last_words(project: Project) -> None:
    project.java(DEAD_JAVA)
    done = project.kafka("start")
    assert done.returncode == 1
    assert "Kafka does not start" in done.stderr
    assert "no memory" in done.stderr


def test_one_that_runs_is_not_started_again(project: Project) -> None:
    assert project.kafka("start").returncode == 0
    project.java(DEAD_JAVA)
    assert project.kafka("start").returncode == 0


def test_stop_ends_it(project: Project) -> None:
    assert project.kafka("start").returncode == 0
    assert project.kafka("stop").returncode == 0
    assert project.kafka("status").returncode == 1

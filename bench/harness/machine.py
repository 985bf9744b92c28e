"""What the kernel knows: cores, CPU time, memory, who else runs. Linux only; it never starts or stops a process."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec

__all__ = ["Cores", "Cost", "Load", "Sample", "cores", "cost", "facts", "raise_file_limit", "rss_bytes", "sample"]

MEASURED = (
    "retell-ws", "websockets", "uvloop", "msgspec", "orjson", "httptools", "anthropic", "httpx2", "httpcore2",
    "h11", "anyio", "pydantic", "fastapi", "starlette", "uvicorn",
)  # fmt: skip


class Cores(msgspec.Struct, frozen=True):
    """Which core runs what.

    Attributes:
        server: The core of the server under test, alone on it.
        load: The core of the load client and of the fake model.
    """

    server: int
    load: int


class Sample(msgspec.Struct, frozen=True):
    """A reading of every clock at one moment, in nanoseconds.

    Attributes:
        at_ns: `time.monotonic_ns`.
        cpu_ns: CPU time of each watched process, by its name.
        busy_ns: What all cores did but idling. Interrupts belong in it: loopback packets are handled in the time
            of the process that sent them.
        stolen_ns: Time the hypervisor gave to others.
    """

    at_ns: int
    cpu_ns: dict[str, int]
    busy_ns: int
    stolen_ns: int


class Cost(msgspec.Struct, frozen=True):
    """What passed between two samples, in percent of one core and nanoseconds.

    Attributes:
        foreign_percent: CPU of processes that were not watched.
        stolen_percent: CPU the hypervisor took away.
    """

    wall_ns: int
    cpu_ns: dict[str, int]
    foreign_percent: float
    stolen_percent: float

    def percent(self, name: str) -> float:
        """CPU of one watched process, in percent of one core."""
        return 100 * self.cpu_ns[name] / self.wall_ns


def cores() -> Cores:
    """Pick the cores: the first allowed one for servers, the last for load; one for both if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], load=allowed[-1])


def sample(pids: dict[str, int]) -> Sample:
    """Read the clocks.

    Args:
        pids: The watched processes by name. All their threads count.

    Raises:
        OSError: One of them is gone.
    """
    cpu = {name: time.clock_gettime_ns(_clock_of(pid)) for name, pid in pids.items()}
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    return Sample(
        at_ns=time.monotonic_ns(),
        cpu_ns=cpu,
        busy_ns=(user + nice + system + irq + softirq) * tick_ns,
        stolen_ns=steal * tick_ns,
    )


def _clock_of(pid: int) -> int:
    # The kernel's encoding of "CPU clock of that process" (MAKE_PROCESS_CPUCLOCK, CPUCLOCK_SCHED): exact to the
    # nanosecond, where /proc/PID/stat counts hundredths of a second.
    return (~pid << 3) | 2


def cost(before: Sample, after: Sample) -> Cost:
    """Subtract two samples of the same processes."""
    wall = after.at_ns - before.at_ns
    cpu = {name: after.cpu_ns[name] - before.cpu_ns[name] for name in before.cpu_ns}
    foreign = after.busy_ns - before.busy_ns - sum(cpu.values())
    return Cost(
        wall_ns=wall,
        cpu_ns=cpu,
        foreign_percent=max(0.0, 100 * foreign / wall),
        stolen_percent=100 * (after.stolen_ns - before.stolen_ns) / wall,
    )


class Load:
    """How busy the whole machine is, from here on: for benches whose processes come and go."""

    def __init__(self) -> None:
        self._began = sample({})

    def percent(self) -> float:
        """Give what was used since, in percent of all cores together, what the hypervisor took included."""
        now = sample({})
        used = now.busy_ns - self._began.busy_ns + now.stolen_ns - self._began.stolen_ns
        return 100 * used / (now.at_ns - self._began.at_ns) / (os.cpu_count() or 1)


def rss_bytes(pid: int) -> int:
    """Read the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def raise_file_limit() -> None:
    """Allow as many open files as the system grants: 1000 calls need some 3000 sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def facts(measured: Iterable[str] = MEASURED) -> dict[str, str]:
    """Describe the machine and the versions of everything that is measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    described = {
        "cpu": f"{len(os.sched_getaffinity(0))} × {model}",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
    }
    for name in measured:
        try:
            described[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return described

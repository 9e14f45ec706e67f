"""Hosts for tests, as network namespaces of one machine on a switch that can be cut.

1. A host has an address of its own, and a mount namespace with its own ``/dev/shm``: segments of one cannot
   be opened on another.
2. Namespaces have no names.  Each is held by a process that ends with its standard input, so that the kernel
   removes all of it when whoever made it is gone, however it went.
3. The switch is two bridges in a namespace of its own.  A host is on the *main* one, on the *other* one
   (a partition), or on neither (cut): its own end of the cable notices nothing, frames are lost.
4. A cable may be slow and lossy: by netem if the kernel has it, else by a token bucket with a short queue,
   which delays by its rate and drops what does not fit into the queue, as a congested link does.

It needs root, ``ip``, ``nsenter`` and ``unshare``; :func:`obstacle` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_MAIN, _OTHER = "main", "other"
_TOOLS = ("ip", "nsenter", "tc", "unshare")
_NET = "10.77.0"
_END_S = 5.0
_BRIDGE = "ip link add {0} type bridge && ip link set {0} up"
_SWITCH = f"{_BRIDGE.format(_MAIN)} && {_BRIDGE.format(_OTHER)}"
_MEMORY = "mount -t tmpfs tmpfs /dev/shm && ip link set lo up"


class _Namespace:
    """A network and a mount namespace, and the process that holds them."""

    def __init__(self, preparation: str) -> None:
        """Make them, and run a command of the shell there first.

        Raises:
            OSError: it is not permitted.
        """
        self._holder = subprocess.Popen(  # noqa: S603 - our own commands
            ["unshare", "--net", "--mount", "sh", "-c", f"{preparation} && echo ready && exec cat"],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        if not self._holder.stdout.readline():
            self.end()
            raise OSError("namespaces are not permitted here")
        self.pid = self._holder.pid
        self._identity = Path(f"/proc/{self.pid}/ns/net").readlink()

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command that runs another one here."""
        return ("nsenter", f"--target={self.pid}", "--net", "--mount", "--")

    def run(self, command: str) -> None:
        """Run a command of words here to its end.

        Raises:
            OSError: it failed; with what it said.
        """
        done = subprocess.run([*self.prefix, *command.split()], check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise OSError(f"{command}: {done.stderr.strip()}")

    def pids(self) -> list[int]:
        """The processes here but for the one that holds it, and this one should it be here."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                is_other = int(process.name) not in (self.pid, os.getpid())
                if is_other and process.joinpath("ns/net").readlink() == self._identity:
                    found.append(int(process.name))
        return found

    def kill_all(self) -> None:
        """SIGKILL for every process here."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Let go of it."""
        with contextlib.suppress(BrokenPipeError):
            self._holder.stdin.close()  # type: ignore[union-attr] # it is a pipe
        try:
            self._holder.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()
        self._holder.stdout.close()  # type: ignore[union-attr] # it is a pipe


class Host(_Namespace):
    """A host: ``address`` is where others reach it."""

    def __init__(self, switch: _Namespace, number: int) -> None:
        """Plug it in.

        Raises:
            OSError: it is not permitted.
        """
        super().__init__(_MEMORY)
        self.address = f"{_NET}.{number}"
        self._switch = switch
        self._port = f"port{number}"
        switch.run(f"ip link add {self._port} type veth peer name eth0 netns {self.pid}")
        switch.run(f"ip link set {self._port} master {_MAIN} up")
        self.run(f"ip address add {self.address}/24 dev eth0")
        self.run("ip link set eth0 up")

    def cut(self) -> None:
        """Nothing comes here or leaves from here; nobody is told."""
        self._switch.run(f"ip link set {self._port} nomaster")

    def set_apart(self) -> None:
        """From now on it reaches only those who were set apart, too."""
        self._switch.run(f"ip link set {self._port} master {_OTHER}")

    def mend(self) -> None:
        """It reaches the others again."""
        self._switch.run(f"ip link set {self._port} master {_MAIN}")

    def hamper(self) -> None:
        """What leaves from here and what comes here is late, and some of it is lost."""
        for end, device in ((self, "eth0"), (self._switch, self._port)):
            try:
                end.run(f"tc qdisc replace dev {device} root netem delay 20ms 10ms loss 2%")
            except OSError:
                end.run(f"tc qdisc replace dev {device} root tbf rate 40mbit burst 16kb limit 64kb")

    def unhamper(self) -> None:
        """It has a sound cable again."""
        for end, device in ((self, "eth0"), (self._switch, self._port)):
            with contextlib.suppress(OSError):
                end.run(f"tc qdisc del dev {device} root")

    def die(self) -> None:
        """From one moment to the next nothing of it runs, and nobody hears of its end."""
        self.cut()
        self.kill_all()

    def files(self) -> list[str]:
        """The names in its ``/dev/shm``."""
        return sorted(path.name for path in Path(f"/proc/{self.pid}/root/dev/shm").iterdir())


class Network:
    """Hosts on a switch; at the end nothing of them is left."""

    def __init__(self, hosts: int) -> None:
        """So many hosts; nothing is made yet."""
        self._count = hosts
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        """Make them.

        Raises:
            OSError: it is not permitted.
        """
        with contextlib.ExitStack() as ending:
            switch = _Namespace(_SWITCH)
            ending.callback(switch.end)
            for number in range(1, self._count + 1):
                host = Host(switch, number)
                ending.callback(host.end)
                ending.callback(host.kill_all)
                self.hosts.append(host)
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process of the hosts, and remove them."""
        self._ending.__exit__(kind, error, trace)


def obstacle() -> str:
    """Why there can be no such hosts here; "" if there can."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    try:
        with Network(1):
            return ""
    except OSError as reason:
        return f"needs root and namespaces: {reason}"

"""Finds a Docker engine, or starts a private one where that is allowed, and ends what it started.

An engine is started only as root, with `dockerd` installed and no other engine running: a second daemon would take away the
first one's bridge. It makes no bridge and touches no firewall rule, so containers have loopback only, which is all we want.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 30


class NoEngine(Exception):
    """Why there is no engine to test with, in a sentence."""


@contextlib.contextmanager
def docker_engine():
    """Yields the command that reaches an engine, as a list to put arguments behind. Raises NoEngine with the reason."""
    if shutil.which("docker") is None:
        raise NoEngine("the docker command is not installed")
    if answers(["docker"]):
        yield ["docker"]
        return
    if os.environ.get("DOCKER_HOST"):
        raise NoEngine("no Docker engine answers at DOCKER_HOST")
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers this user; start it, or join the group docker")
    if shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine answers and dockerd is not installed (apt-get install docker.io)")
    if other_dockerd_runs():
        raise NoEngine("a Docker engine runs but does not answer; none is started beside it")
    with private_engine() as command:
        yield command


def answers(command):
    asked = [*command, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def other_dockerd_runs():
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if name.read_text(encoding="utf-8").strip() == "dockerd":
                return True
    return False


@contextlib.contextmanager
def private_engine():
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    socket = f"unix://{folder}/docker.sock"
    with open(folder / "dockerd.log", "wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--storage-driver", "vfs", "--data-root", folder / "data", "--exec-root", folder / "exec",
             "--pidfile", folder / "dockerd.pid", "--host", socket, "--bridge", "none",
             "--iptables=false", "--ip-forward=false", "--ip-masq=false"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )
    try:
        command = ["docker", "--host", socket]
        give_up = time.monotonic() + START_SECONDS
        while not answers(command):
            if daemon.poll() is not None or time.monotonic() > give_up:
                lines = (folder / "dockerd.log").read_text(encoding="utf-8", errors="replace").splitlines()
                raise NoEngine("dockerd does not start here: " + " | ".join(lines[-3:]))
            time.sleep(0.3)
        yield command
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Its own session: containerd, which it started, is in there too.
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)

#!/usr/bin/env python3
"""Builds every function's image and calls it as the platform would: over its socket, with nothing that the platform lacks.

The container gets what OCI Functions gives at 128 MB: a read-only root, a tmpfs at /tmp, user 1000:1000, no capability, 50 processes,
350 files. It has no network but loopback and no configuration, so that it must start, log what is missing and refuse each call.

    python3 tests/images/test_images.py

Expects `func` in each folder of func-yaml/ (`scripts/build NAME` puts it there). Ends with a line `images: N passed, N failed` or, where
no Docker engine can be had, with `images: skipped: why`. Standard library only.
"""

import datetime
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from docker_engine import NoEngine, docker_engine

ROOT = Path(__file__).resolve().parents[2]
IMAGE_MAX_BYTES = 6_000_000
# The platform's own limit for the time from the container's start to its socket.
START_SECONDS = 5.0
DOCKER = []


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the function's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def docker(*arguments):
    done = subprocess.run([*DOCKER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


class Container:
    """One function's container, its socket folder shared with us, gone at the end."""

    def __init__(self, name, image):
        # The container's user must be able to make its socket in here; the path has to stay below 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="iofs-", dir="/tmp"))
        self.folder.chmod(0o777)
        environment = {
            "FN_FORMAT": "http-stream", "FN_LISTENER": "unix:/tmp/iofs/lsnr.sock", "FN_TYPE": "sync", "FN_MEMORY": "128",
            "FN_APP_ID": "ocid1.fnapp.oc1.iad.test", "FN_FN_ID": "ocid1.fnfunc.oc1.iad.test", "FN_APP_NAME": "siem", "FN_FN_NAME": name,
        }
        # The folder alone is mounted, not its parents: /tmp itself is the function's tmpfs.
        arguments = ["run", "--detach", "--init", "--read-only", "--network", "none", "--memory", "128m", "--memory-swap", "128m",
                     "--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "50",
                     "--ulimit", "nofile=350:350", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=32m", "--volume", f"{self.folder}:/tmp/iofs"]
        for key, value in environment.items():
            arguments += ["--env", f"{key}={value}"]
        self.started = time.monotonic()
        try:
            self.id = docker(*arguments, image)
        except AssertionError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def socket(self):
        return self.folder / "lsnr.sock"

    def wait_until_ready(self):
        """Seconds until the socket appeared, docker's own start included."""
        while not self.socket.exists():
            if not self.is_running():
                raise AssertionError(f"the container ended before its socket appeared:\n{self.logs()}")
            if time.monotonic() - self.started > START_SECONDS + 25:
                raise AssertionError(f"no socket:\n{self.logs()}")
            time.sleep(0.01)
        return time.monotonic() - self.started

    def call(self, headers=(), body=b"{}"):
        """One call as the platform makes it: chunked, with a call id and a deadline. Gives status, headers and body."""
        deadline = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
        sent = {"Fn-Call-Id": "01JTESTCALL0000000000000000", "Fn-Deadline": deadline.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "Content-Type": "application/json", **dict(headers)}
        connection = UnixConnection(self.socket)
        try:
            connection.request("POST", "/call", body=iter([body]), headers=sent, encode_chunked=True)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def is_running(self):
        return docker("inspect", "--format", "{{.State.Running}}", self.id) == "true"

    def logs(self):
        done = subprocess.run([*DOCKER, "logs", self.id], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)
        return done.stdout

    def remove(self):
        subprocess.run([*DOCKER, "rm", "--force", self.id], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Image:
    """The tests of one function's image; `of` makes a TestCase of them."""

    name = ""

    @classmethod
    def setUpClass(cls):
        folder = ROOT / "func-yaml" / cls.name
        if not (folder / "func").is_file():
            raise AssertionError(f"{folder}/func is missing: run `scripts/build {cls.name}` in that folder")
        # As the fn CLI calls it: the folder is the whole context.
        cls.image = f"siem-image-test/{cls.name}:{os.getpid()}"
        docker("build", "--tag", cls.image, "--file", str(folder / "Dockerfile"), str(folder))
        cls.container = None
        try:
            cls.container = Container(cls.name, cls.image)
            cls.start_seconds = cls.container.wait_until_ready()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        if cls.container:
            cls.container.remove()
        subprocess.run([*DOCKER, "rmi", "--force", cls.image], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def test_the_image_holds_one_small_file_and_a_user_that_is_not_root(self):
        about = json.loads(docker("image", "inspect", self.image))[0]
        print(f"{self.name}: image {about['Size'] / 1e6:.2f} MB, ready after {self.start_seconds:.2f} s", flush=True)
        self.assertLess(about["Size"], IMAGE_MAX_BYTES)
        self.assertEqual(about["Config"]["User"], "1000:1000")
        self.assertEqual(about["Config"]["Entrypoint"], ["/func"])
        self.assertFalse(about["Config"].get("Volumes"), "Fn refuses an image with a volume")
        self.assertEqual(len(about["RootFS"]["Layers"]), 1)

    def test_it_starts_in_the_time_that_the_platform_allows(self):
        self.assertLess(self.start_seconds, START_SECONDS)

    def test_the_socket_is_a_relative_link_that_the_platform_may_write_to(self):
        self.assertEqual(os.readlink(self.container.socket), "phonylsnr.sock")
        mode = self.container.socket.stat().st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o666)
        self.assertEqual(self.container.socket.stat().st_uid, 1000)

    def test_a_call_without_configuration_is_502_and_the_container_lives(self):
        for _ in range(3):
            status, headers, _ = self.container.call()
            self.assertEqual(status, 502)
            self.assertRegex(headers.get("fn-fdk-version", ""), r"^[\w.-]+/\d+\.\d+\.\d+")
            self.assertRegex(headers.get("fn-fdk-runtime", ""), r"^rust/\d+\.\d+")
            self.assertNotIn("fn-http-status", headers, "only an HTTP caller gets this header")
        self.assertTrue(self.container.is_running())

    def test_a_gateway_caller_without_the_secret_gets_401_and_nothing_else(self):
        status, headers, body = self.container.call({
            "Fn-Intent": "httprequest", "Fn-Http-Method": "POST", "Fn-Http-Request-Url": "/plan", "Fn-Http-H-Authorization": "Bearer wrong",
        })
        self.assertEqual((status, headers.get("fn-http-status"), body), (200, "401", b""))
        self.assertTrue(self.container.is_running())

    def test_the_log_names_the_missing_keys(self):
        self.container.call()
        self.assertRegex(self.container.logs(), r"state_bucket|stream_ocid|destination")

    def test_it_runs_within_the_memory_that_it_asks_for(self):
        self.container.call(body=b'{"padding":"' + b"x" * 5_000_000 + b'"}')
        self.assertTrue(self.container.is_running())
        self.assertEqual(docker("inspect", "--format", "{{.State.OOMKilled}}", self.container.id), "false")

    @classmethod
    def of(cls, name):
        title = "".join(part.capitalize() for part in name.split("-"))
        return type(title, (cls, unittest.TestCase), {"name": name})


class Result(unittest.TextTestResult):
    """Counts what passed: an error while a class is set up is no test that ran."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    # A terminated run still removes its containers and ends its engine.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    suite = unittest.TestSuite()
    for path in sorted((ROOT / "func-yaml").glob("*/func.yaml")):
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(Image.of(path.parent.name)))
    try:
        with docker_engine() as command:
            DOCKER[:] = command
            result = unittest.TextTestRunner(verbosity=1, resultclass=Result).run(suite)
    except NoEngine as reason:
        print(f"images: skipped: {reason}")
        return 0
    failed = len(result.failures) + len(result.errors)
    print(f"images: {result.passed} passed, {failed} failed")
    return 0 if result.wasSuccessful() and result.passed else 1


if __name__ == "__main__":
    sys.exit(main())

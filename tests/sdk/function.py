"""A function's binary as a process, called over its socket as the platform would."""

import datetime
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from emulator import API_KEY, FUNCTIONS

START_SECONDS = 10
CALL_SECONDS = 120


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a function's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=CALL_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Function:
    """`target/debug/NAME` with the configuration that points it at an emulator; ends with the `with` block."""

    def __init__(self, cloud, principal, name, **configuration):
        ready = cloud.ready
        self.name = name
        self._folder = Path(tempfile.mkdtemp(prefix="fn-"))
        regional = f"{cloud.endpoint}/region/{{region}}"
        environment = {
            "FN_FORMAT": "http-stream", "FN_LISTENER": f"unix:{self._folder}/lsnr.sock", "FN_TYPE": "sync", "FN_MEMORY": "128",
            "FN_APP_ID": "ocid1.fnapp.oc1.iad.test", "FN_FN_ID": "ocid1.fnfunc.oc1.iad.test", "FN_APP_NAME": "siem", "FN_FN_NAME": name,
            **{f"oci_endpoint_{service}": regional for service in ("identity", "audit", "notification", "object_storage", "secrets", "monitoring")},
            "streaming_endpoint": cloud.endpoint, "state_namespace": ready["namespace"], "state_bucket": ready["bucket"],
            **configuration,
        }
        if principal == API_KEY:
            environment.update(oci_config_file=ready["config_file"], oci_config_profile=ready["profile"])
        else:
            environment.update(ready["resource_principal"])
        self._log = open(self._folder / "log", "wb")
        self._process = subprocess.Popen([str(FUNCTIONS / name)],
                                         env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def __enter__(self):
        give_up = time.monotonic() + START_SECONDS
        while not (self._folder / "lsnr.sock").exists():
            if self._process.poll() is not None or time.monotonic() > give_up:
                log = self.log()
                self.__exit__()
                raise AssertionError(f"{self.name} does not start:\n{log}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self._folder)

    def call(self, body=b""):
        """Status and body of one call."""
        deadline = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=CALL_SECONDS)
        connection = UnixConnection(self._folder / "lsnr.sock")
        try:
            headers = {"Fn-Call-Id": "01JTESTCALL0000000000000000", "Fn-Deadline": deadline.strftime("%Y-%m-%dT%H:%M:%SZ")}
            connection.request("POST", "/call", body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log(self):
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

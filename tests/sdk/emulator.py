"""Starts local-oci and gives official SDK clients for it, for each kind of principal."""

import contextlib
import json
import os
import select
import subprocess
import tempfile
import unittest
import uuid
from pathlib import Path
from unittest import mock

import oci

ROOT = Path(__file__).resolve().parents[2]
# Where the functions' binaries are.
FUNCTIONS = Path(os.environ.get("FUNCTIONS", ROOT / "target" / "debug"))
READY_SECONDS = 30
NO_RETRY = oci.retry.NoneRetryStrategy()
NO_BREAKER = oci.circuit_breaker.NoCircuitBreakerStrategy()

API_KEY = "ApiKey"
RESOURCE_PRINCIPAL = "ResourcePrincipal"


class Emulator:
    """A running local-oci: what its ready line says, and clients for it."""

    def __init__(self, *options):
        binary = os.environ.get("LOCAL_OCI", ROOT / "target" / "debug" / "local-oci")
        self._folder = tempfile.TemporaryDirectory(prefix="local-oci-")
        command = [str(binary), "serve", "--port", "0", "--data", self._folder.name, "--seed", "7", *options]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            self.ready = json.loads(self._first_line())
        except BaseException:
            self.stop()
            raise
        self.endpoint = self.ready["endpoint"]
        self.config = oci.config.from_file(self.ready["config_file"], self.ready["profile"])
        self._signers = {API_KEY: oci.Signer.from_config(self.config), RESOURCE_PRINCIPAL: self._resource_principal()}

    def _first_line(self):
        readable, _, _ = select.select([self._process.stdout], [], [], READY_SECONDS)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise RuntimeError(f"{' '.join(self._process.args)}: no ready line (exit status {self._process.poll()})")
        return line

    def _resource_principal(self):
        """A function's own principal, made by the SDK from the variables that the platform sets."""
        with mock.patch.dict(os.environ, self.ready["resource_principal"]):
            return oci.auth.signers.get_resource_principals_signer()

    def signer(self, principal):
        return self._signers[principal]

    def client(self, kind, principal=API_KEY, region=None):
        """A client without retries: what the service answers is what the test sees. `region` other than home is a path prefix."""
        endpoint = f"{self.endpoint}/region/{region}" if region else self.endpoint
        config = self.config if principal == API_KEY else {}
        client = kind(config, service_endpoint=endpoint, signer=self.signer(principal),
                      retry_strategy=NO_RETRY, circuit_breaker_strategy=NO_BREAKER)
        return client

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()


class Case(unittest.TestCase):
    """A test that runs once for each principal, unless its class says otherwise."""

    cloud = None
    principal = API_KEY
    principals = (API_KEY, RESOURCE_PRINCIPAL)

    @classmethod
    def client(cls, kind, region=None):
        return cls.cloud.client(kind, cls.principal, region)

    @contextlib.contextmanager
    def refused(self, status, code):
        """The block must raise the service's error of that status, with that code, and with a request id for support."""
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            yield
        error = raised.exception
        self.assertEqual((error.status, error.code), (status, code), error.message)
        self.assertTrue(error.request_id)

    @staticmethod
    def unique(name):
        """A name that no other test uses."""
        return f"{name}-{uuid.uuid4().hex}"


def every_page(call, *arguments, **options):
    """All answers of a list operation, one a page, by the token of each."""
    answers = [call(*arguments, **options)]
    while answers[-1].has_next_page:
        answers.append(call(*arguments, page=answers[-1].next_page, **options))
    return answers

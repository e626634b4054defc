#!/usr/bin/env python3
"""The official Python SDK against local-oci: every operation, with an API key and as a resource principal.

    scripts/sdk-python tests/sdk/test_local_oci.py [NAME…]

Needs `cargo build --workspace --bins`. Starts one `local-oci serve` (target/debug/local-oci, or what LOCAL_OCI names) for all tests. NAMEs pick tests whose id contains one of
them. Ends with a line `sdk: N passed, N failed`.
"""

import signal
import sys
import unittest

import check_audit
import check_functions
import check_identity
import check_messages
import check_monitoring
import check_object_storage
import check_refusals
import check_streaming
from emulator import FUNCTIONS, Case, Emulator

MODULES = [check_refusals, check_identity, check_audit, check_object_storage, check_streaming, check_messages, check_monitoring, check_functions]


class Result(unittest.TextTestResult):
    """Counts what passed: an error while a class is set up is no test that ran."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def suite_for(cloud, wanted):
    suite = unittest.TestSuite()
    for module in MODULES:
        cases = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Case) and one.__module__ == module.__name__]
        for case in cases:
            for principal in case.principals:
                name = f"{case.__name__}With{principal}"
                made = type(name, (case,), {"cloud": cloud, "principal": principal, "__module__": module.__name__})
                for test in unittest.defaultTestLoader.loadTestsFromTestCase(made):
                    if not wanted or any(part in test.id() for part in wanted):
                        suite.addTest(test)
    return suite


def main():
    # A terminated run still ends its emulator.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cloud = Emulator("--functions", str(FUNCTIONS))
    try:
        result = unittest.TextTestRunner(verbosity=1, resultclass=Result).run(suite_for(cloud, sys.argv[1:]))
    finally:
        cloud.stop()
    failed = len(result.failures) + len(result.errors)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    print(f"sdk: {result.passed} passed, {failed} failed")
    return 0 if result.wasSuccessful() and result.passed else 1


if __name__ == "__main__":
    sys.exit(main())

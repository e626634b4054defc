#!/usr/bin/env python3
"""Checks each function's binary as it goes into the image: static, small, for the right machine, and silent about its builder.

Expects `func` in each folder of func-yaml/ (`scripts/build NAME` puts it there). Standard library only.
"""

import os
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 6_000_000
MACHINES = {62: "x86_64", 183: "aarch64"}
PT_INTERP = 3


def main():
    folders = sorted(path.parent for path in (ROOT / "func-yaml").glob("*/func.yaml"))
    faulty = 0
    for folder in folders:
        try:
            problems = check(folder.name, (folder / "func").read_bytes())
        except OSError as error:
            problems = [str(error)]
        for problem in problems:
            print(f"{folder.name}: {problem}", file=sys.stderr)
        faulty += bool(problems)
    print(f"binaries: {len(folders) - faulty} passed, {faulty} failed")
    return 1 if faulty or not folders else 0


def check(name, binary):
    if binary[:6] != b"\x7fELF\x02\x01":
        return ["is no 64-bit little-endian ELF file"]
    machine = MACHINES.get(struct.unpack_from("<H", binary, 18)[0], "another machine")
    print(f"{name}: {len(binary) / 1e6:.2f} MB, {machine}")
    problems = []
    if machine not in os.environ.get("FUNCTION_TARGET", "x86_64"):
        problems.append(f"is for {machine}")
    if len(binary) > MAX_BYTES:
        problems.append(f"has {len(binary)} bytes; the limit is {MAX_BYTES}")
    if PT_INTERP in program_headers(binary):
        problems.append("asks for a dynamic loader, which a FROM scratch image has not")
    for builder in {str(ROOT), str(Path.home())} - {"/"}:
        if f"{builder}/".encode() in binary:
            problems.append(f"names a folder of the machine that built it: {builder}")
    return problems


def program_headers(binary):
    """The types of the program headers."""
    offset = struct.unpack_from("<Q", binary, 32)[0]
    size, count = struct.unpack_from("<HH", binary, 54)
    return {struct.unpack_from("<I", binary, offset + index * size)[0] for index in range(count)}


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Checks func-yaml/ by the rules of the fn CLI and of OCI Functions.

The CLI ignores unknown keys in silence and the open server takes any memory, so a typing error shows only in the tenancy.
Here it shows at once. Standard library only: `python3 tests/images/check_func_yaml.py`; `--self-test` shows that each rule can fail.
"""

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

KEYS = {"schema_version", "name", "version", "runtime", "build", "memory", "timeout", "config"}
REQUIRED = KEYS - {"config"}
# The sizes that OCI Functions sells, in MB. The open Fn server takes 1 to 8192 and would not notice.
MEMORY_MB = {128, 256, 512, 1024, 2048, 3072}
CONFIG_MAX_BYTES = 4096
DOCKERFILE = 'FROM scratch\nCOPY func /func\nUSER 1000:1000\nENTRYPOINT ["/func"]\n'
IGNORED_BY_DOCKER = "*\n!func\n"
IGNORED_BY_GIT = "func\nbuild.log\n"


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    problems, checked = check(ROOT)
    for problem in problems:
        print(problem, file=sys.stderr)
    faulty = {problem.split(":")[0] for problem in problems}
    print(f"func-yaml: {checked - len(faulty)} passed, {len(faulty)} failed")
    return 1 if problems else 0


def check(root):
    """All problems below `root`, each beginning with its folder, and the number of folders looked at."""
    folder = root / "func-yaml"
    functions = {manifest.parent.name for manifest in root.glob("functions/*/Cargo.toml")}
    deployed = {path.parent.name for path in folder.glob("*/func.yaml")}
    problems = [f"{name}: has no func-yaml/{name}/func.yaml" for name in sorted(functions - deployed)]
    problems += [f"{name}: there is no functions/{name}" for name in sorted(deployed - functions)]
    # `fn deploy --all` deploys every func file that it meets, however deep.
    for path in sorted(folder.rglob("func.*")):
        if path.suffix in {".yaml", ".yml", ".json"} and (path.name != "func.yaml" or path.parent.parent != folder):
            problems.append(f"{path.parent.name}: {path.relative_to(root)} would be deployed as well")
    problems += [f"app.yaml: {problem}" for problem in check_app(folder / "app.yaml")]
    for name in sorted(functions & deployed):
        problems += [f"{name}: {problem}" for problem in check_function(root, name)]
    return problems, len(functions | deployed) + 1


def check_app(path):
    try:
        app = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [str(error)]
    if set(app) != {"name"} or not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", str(app.get("name"))):
        return ["has a name (a letter, then letters, digits and hyphens) and nothing else: its config would be written on every deploy"]
    return []


def check_function(root, name):
    folder = root / "func-yaml" / name
    try:
        function = read_yaml((folder / "func.yaml").read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"func.yaml: {error}"]
    problems = [f"func.yaml: unknown key {key}; the CLI would ignore it" for key in sorted(set(function) - KEYS - {"triggers"})]
    problems += [f"func.yaml: lacks {key}" for key in sorted(REQUIRED - set(function))]
    if "triggers" in function:
        problems.append("func.yaml: triggers abort a deploy to OCI half-way")

    def must(key, holds, wanted):
        if key in function and not holds(function[key]):
            problems.append(f"func.yaml: {key} must be {wanted}, not {function[key]!r}")

    must("schema_version", lambda value: value == "20180708", "20180708")
    must("name", lambda value: value == name, f"{name}, as the folder and the package are called")
    must("version", lambda value: re.fullmatch(r"\d+\.\d+\.\d+", str(value)), "a semantic version, it is the image's tag")
    must("runtime", lambda value: value == "docker", "docker")
    must("build", lambda value: value == [f"../../scripts/build {name}"], f"one line, ../../scripts/build {name}")
    must("memory", lambda value: str(value).isdigit() and int(value) in MEMORY_MB, f"one of {sorted(MEMORY_MB)}")
    must("timeout", lambda value: str(value).isdigit() and 1 <= int(value) <= 300, "1 to 300 seconds")
    problems += check_config(function.get("config", {}))

    manifest = (root / "functions" / name / "Cargo.toml").read_text(encoding="utf-8")
    if not re.search(rf'^\[package\]\s+name = "{re.escape(name)}"$', manifest, re.MULTILINE):
        problems.append(f"functions/{name}/Cargo.toml: the package must be called {name}")
    for file, wanted in [("Dockerfile", DOCKERFILE), (".dockerignore", IGNORED_BY_DOCKER), (".gitignore", IGNORED_BY_GIT)]:
        path = folder / file
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            problems.append(f"{file}: must read {wanted!r}")
    return problems


def check_config(config):
    if not isinstance(config, dict):
        return ["func.yaml: config must be a map"]
    problems = []
    size = 0
    for key, value in config.items():
        size += len(key.encode()) + len(str(value).encode())
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
            problems.append(f"func.yaml: config key {key} must be letters, digits and _")
        if value == "":
            problems.append(f"func.yaml: config key {key} is empty, which deletes the key on the next deploy")
        if re.search(r"token|secret|password|key$", key, re.IGNORECASE) and not str(value).startswith("ocid1.vaultsecret."):
            problems.append(f"func.yaml: config key {key} may hold a vault secret's OCID only")
    if size > CONFIG_MAX_BYTES:
        problems.append(f"func.yaml: config has {size} bytes; application and function together may have {CONFIG_MAX_BYTES}")
    return problems


def read_yaml(text):
    """The YAML that our files keep to: `key: value`, a list of strings, a map of one level. Anything else is an error."""
    result = {}
    current = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        top = re.fullmatch(r"([A-Za-z_]\w*):(?: (\S.*))?", line)
        item = re.fullmatch(r"- (\S.*)", line)
        inner = re.fullmatch(r"  ([^\s:]+):(?: (.*))?", line)
        if top and top[1] in result:
            raise ValueError(f"line {number}: {top[1]} stands twice")
        if top:
            current = top[1]
            result[current] = None if top[2] is None else scalar(top[2], number)
        elif item and (result.get(current) is None or isinstance(result[current], list)) and current:
            result[current] = (result[current] or []) + [scalar(item[1], number)]
        elif inner and (result.get(current) is None or isinstance(result[current], dict)) and current:
            result[current] = {**(result[current] or {}), inner[1]: scalar(inner[2] or "", number)}
        else:
            raise ValueError(f"line {number}: plainer YAML, please: {line.strip()}")
    return result


def scalar(text, number):
    quoted = re.fullmatch(r'"([^"\\]*)"|\'([^\']*)\'', text)
    if quoted:
        return quoted[1] or quoted[2] or ""
    if re.search(r'["\'#{}\[\]&*!|>%@`]|: ', text):
        raise ValueError(f"line {number}: quote this value: {text}")
    return text


# ---- self-test

GOOD = """schema_version: 20180708
name: f
version: 0.1.0
runtime: docker
build:
- ../../scripts/build f
memory: 128
timeout: 60
config:
  destination: splunk
"""


def self_test():
    """A good folder has no problem; each change of it has exactly the one it should have."""
    cases = [
        ("nothing", lambda put: None, None),
        ("unknown key", lambda put: put("f/func.yaml", GOOD.replace("memory", "memroy")), "unknown key memroy"),
        ("missing key", lambda put: put("f/func.yaml", GOOD.replace("memory: 128\n", "")), "lacks memory"),
        ("memory", lambda put: put("f/func.yaml", GOOD.replace("128", "100")), "memory must be"),
        ("timeout 0", lambda put: put("f/func.yaml", GOOD.replace("60", "0")), "timeout must be"),
        ("timeout 301", lambda put: put("f/func.yaml", GOOD.replace("60", "301")), "timeout must be"),
        ("triggers", lambda put: put("f/func.yaml", GOOD + "triggers:\n- name\n"), "triggers abort"),
        ("name", lambda put: put("f/func.yaml", GOOD.replace("name: f", "name: g")), "name must be"),
        ("schema", lambda put: put("f/func.yaml", GOOD.replace("20180708", "20180707")), "schema_version must be"),
        ("version", lambda put: put("f/func.yaml", GOOD.replace("0.1.0", "1")), "version must be"),
        ("runtime", lambda put: put("f/func.yaml", GOOD.replace("docker", "rust")), "runtime must be"),
        ("build", lambda put: put("f/func.yaml", GOOD.replace("build f", "build g")), "build must be"),
        ("hyphen in a config key", lambda put: put("f/func.yaml", GOOD.replace("destination", "my-key")), "config key my-key"),
        ("empty config value", lambda put: put("f/func.yaml", GOOD.replace(" splunk", ' ""')), "is empty"),
        ("secret in config", lambda put: put("f/func.yaml", GOOD + "  splunk_hec_token: abc\n"), "vault secret"),
        ("large config", lambda put: put("f/func.yaml", GOOD + f"  text: {'x' * 4096}\n"), "bytes"),
        ("twice", lambda put: put("f/func.yaml", GOOD + "memory: 128\n"), "stands twice"),
        ("odd YAML", lambda put: put("f/func.yaml", GOOD.replace("128", "{a: 1}")), "quote this"),
        ("nesting", lambda put: put("f/func.yaml", GOOD + "    deeper: 1\n"), "plainer YAML"),
        ("Dockerfile", lambda put: put("f/Dockerfile", DOCKERFILE.replace("USER 1000:1000\n", "")), "Dockerfile: must read"),
        ("dockerignore", lambda put: put("f/.dockerignore", "*\n"), ".dockerignore: must read"),
        ("gitignore", lambda put: put("f/.gitignore", "func\n"), ".gitignore: must read"),
        ("stray func file", lambda put: put("f/deep/func.json", "{}"), "would be deployed as well"),
        ("function without folder", lambda put: put("../functions/g/Cargo.toml", ""), "has no func-yaml/g"),
        ("folder without function", lambda put: put("g/func.yaml", GOOD), "there is no functions/g"),
        ("package name", lambda put: put("../functions/f/Cargo.toml", '[package]\nname = "g"\n'), "must be called f"),
        ("app without name", lambda put: put("app.yaml", "config:\n  a: b\n"), "has a name"),
    ]
    failures = 0
    for what, change, wanted in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)

            def put(path, text):
                file = root / "func-yaml" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")

            put("app.yaml", "name: siem\n")
            put("../functions/f/Cargo.toml", '[package]\nname = "f"\n')
            put("f/func.yaml", GOOD)
            put("f/Dockerfile", DOCKERFILE)
            put("f/.dockerignore", IGNORED_BY_DOCKER)
            put("f/.gitignore", IGNORED_BY_GIT)
            change(put)
            problems, _ = check(root)
            # A misspelt key is both unknown and missing.
            fine = not problems if wanted is None else any(wanted in problem for problem in problems) and len(problems) <= 2
            if not fine:
                failures += 1
                print(f"{what}: {problems}", file=sys.stderr)
    print(f"func-yaml self-test: {len(cases) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

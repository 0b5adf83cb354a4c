#!/usr/bin/env python3
"""Checks the rules of the source tree that no compiler knows.

    check_layers.py ROOT

Each line of output is a place that breaks a rule; the exit code is then 1. Long files are listed
as warnings, which do not count.
"""

import pathlib
import re
import sys

# Layer: the layers that it may include besides itself (closed under "may include" below).
ARROWS = {
    "base": [],
    "tensor": ["base"],
    "quant": ["tensor"],
    "shard": ["quant"],
    "comm": ["tensor"],
    "ops": ["quant"],
    "io": ["shard"],
    "nn": ["ops", "io", "comm"],
    "models": ["nn"],
    "text": ["base"],
    "engine": ["models", "text"],
    "cli": ["engine"],
    "server": ["engine"],
}
# Folders that one layer alone may include.
PRIVATE = {"ops/cpu": "ops", "ops/cuda": "ops"}
# The layers whose private headers may name these outside headers.
OUTSIDE = {
    "fmt/": None,
    "nlohmann/": None,
    "CLI/": ["cli", "server"],
    "mpi.h": ["comm"],
    "hwloc.h": ["engine"],
    "pcre2.h": ["text"],
    "utf8proc.h": ["text"],
}
# Aimed-at lengths of files, in lines.
LIMITS = {"src": 400, "include": 400, "apps": 400, "tests": 500}
# Not in the umbrella header: it needs the package component mpi.
OPTIONAL_HEADERS = {"strake/comm/mpi_group.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LINKS = re.compile(r"^\s*DEPENDS\s+([a-z_ ]+)")
MACHINE_PATH = re.compile(r"(?<![\w./$}])/(?:work|home|root|farm|Users)/\w")
SOURCES = {".h", ".cpp", ".c"}


def reachable(layer):
    """The layer and everything below it."""
    found = {layer}
    for below in ARROWS[layer]:
        found |= reachable(below)
    return found


ALLOWED = {layer: reachable(layer) for layer in ARROWS}


def layer_of(path):
    """The layer that a file belongs to, None for one outside the layers."""
    parts = path.parts
    if parts[:2] == ("include", "strake"):
        return parts[2] if len(parts) > 3 else None
    return parts[1] if parts[0] in ("src", "apps") and len(parts) > 2 else None


def check_include(path, layer, name, quoted, headers):
    """Yields what is wrong with one include line."""
    public = path.parts[0] == "include"
    for prefix, layers in OUTSIDE.items():
        if not name.startswith(prefix):
            continue
        if public:
            yield f"a public header includes {name}: the standard library and strake/ only"
        elif layers is not None and layer not in layers:
            yield f"{name} belongs to {' and '.join(layers)}, not to {layer}"
        return
    if not quoted:
        if public and ("/" in name or name.endswith(".h")):
            yield f"a public header includes <{name}>: the standard library and strake/ only"
        return
    if public and not name.startswith("strake/"):
        yield f"a public header includes the private {name}"
    target = name.removeprefix("strake/").split("/")[0]
    if target not in ARROWS:
        if name not in headers.get(path.parent, set()):
            yield f"{name} is no header of a layer"
        return
    if target not in ALLOWED[layer]:
        yield f"layer {layer} may not include {name}"
    for folder, owner in PRIVATE.items():
        if name.startswith(folder + "/") and layer != owner:
            yield f"{folder} is private to {owner}"


def check_source(root, path, headers):
    """Yields (line number, message) for a file of a layer."""
    layer = layer_of(path)
    lines = (root / path).read_text().splitlines()
    if path.suffix == ".h" and "#pragma once" not in lines:
        yield 1, "#pragma once is missing"
    if layer is None:
        return
    if layer not in ARROWS:
        yield 1, f"no layer is called {layer}"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            for message in check_include(path, layer, match[2], match[1] == '"', headers):
                yield number, message


def check_links(root, path):
    """Yields the layers that a CMakeLists.txt links against the arrows."""
    layer = path.parts[1]
    for number, line in enumerate((root / path).read_text().splitlines(), 1):
        match = LINKS.match(line)
        for linked in match[1].split() if match else []:
            if linked not in ALLOWED.get(layer, ()):
                yield number, f"layer {layer} may not link {linked}"


def check_umbrella(root):
    """Yields the public headers that the umbrella header leaves out."""
    umbrella = root / "include/strake/strake.h"
    included = {m[2] for m in map(INCLUDE.match, umbrella.read_text().splitlines()) if m}
    public = {str(p.relative_to(root / "include")) for p in (root / "include").glob("strake/*/*.h")}
    for name in sorted(public - included - OPTIONAL_HEADERS):
        yield 1, f"{name} is not included"


def tracked(root):
    """Every text file of the tree, build outputs and other people's data aside."""
    skipped = {"build", ".git", ".cache"}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and relative.parts[0] not in skipped and "data" not in relative.parts[:2]:
            yield relative


def check(root):
    """Yields (path, line number, message, is a warning)."""
    files = list(tracked(root))
    headers = {}
    for path in files:
        headers.setdefault(path.parent, set()).add(path.name)
    for path in files:
        if path.parts[0] == "models" or path.is_relative_to("tests/fuzz/corpus"):
            continue
        try:
            lines = (root / path).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if MACHINE_PATH.search(line):
                yield path, number, "names a path of one machine", False
        limit = LIMITS.get(path.parts[0])
        if path.suffix in SOURCES and limit and len(lines) > limit:
            yield path, len(lines), f"longer than {limit} lines", True
        if path.suffix in SOURCES:
            for number, message in check_source(root, path, headers):
                yield path, number, message, False
        if path.name == "CMakeLists.txt" and path.parts[0] == "src" and len(path.parts) > 2:
            for number, message in check_links(root, path):
                yield path, number, message, False
    for number, message in check_umbrella(root):
        yield pathlib.Path("include/strake/strake.h"), number, message, False


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_layers.py ROOT")
    errors = 0
    for path, number, message, warning in check(pathlib.Path(sys.argv[1])):
        errors += not warning
        print(f"{path}:{number}: {'warning: ' if warning else ''}{message}")
    print(f"check_layers: {errors} places break the rules")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()

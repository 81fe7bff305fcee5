"""Writes the SBOM of one crate of this workspace: CycloneDX 1.5 as JSON, from what cargo resolves.

    sbom.py CRATE TARGET OUT

Every crate that is linked into it for TARGET is a component, with its version, licence and checksum; tools of the
build and of the tests are none. The same lock file gives the same text.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def metadata(target: str) -> dict[str, Any]:
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--locked", "--format-version", "1"]
    out = subprocess.check_output([*command, "--filter-platform", target], cwd=ROOT)
    found: dict[str, Any] = json.loads(out)
    return found


def linked(meta: dict[str, Any], crate: str) -> tuple[str, dict[str, list[str]]]:
    """The id of the crate, and the ids that each linked crate needs."""
    nodes = {node["id"]: node for node in meta["resolve"]["nodes"]}
    packages = {package["id"]: package for package in meta["packages"]}
    (root,) = (id for id in meta["workspace_members"] if packages[id]["name"] == crate)
    needs: dict[str, list[str]] = {}
    todo = [root]
    while todo:
        id = todo.pop()
        if id in needs:
            continue
        is_macro = any("proc-macro" in target["kind"] for target in packages[id]["targets"])
        normal = [] if is_macro else [
            dep["pkg"] for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])
        ]
        needs[id] = sorted(normal)
        todo += normal
    macros = {id for id in needs if any("proc-macro" in each["kind"] for each in packages[id]["targets"])}
    return root, {id: [d for d in of if d not in macros] for id, of in needs.items() if id not in macros}


def purl(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict[str, Any], checksums: dict[tuple[str, str], str]) -> dict[str, Any]:
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package["license"]:
        # Before there were expressions, crates wrote a slash for OR.
        part["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        part["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return part


def sbom(crate: str, target: str) -> dict[str, Any]:
    meta = metadata(target)
    packages = {package["id"]: package for package in meta["packages"]}
    root, needs = linked(meta, crate)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(each["name"], each["version"]): each.get("checksum", "") for each in lock["package"]}
    parts = sorted((packages[id] for id in needs if id != root), key=purl)
    texts = "\n".join(map(purl, parts))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{crate} {target} {texts}')}",
        "version": 1,
        "metadata": {
            "component": component(packages[root], checksums),
            "properties": [{"name": "target", "value": target}],
        },
        "components": [component(package, checksums) for package in parts],
        "dependencies": [
            {"ref": purl(packages[id]), "dependsOn": [purl(packages[each]) for each in of]}
            for id, of in sorted(needs.items(), key=lambda pair: purl(packages[pair[0]]))
        ],
    }


def main() -> None:
    crate, target, out = sys.argv[1:]
    Path(out).write_text(json.dumps(sbom(crate, target), indent=2) + "\n")


if __name__ == "__main__":
    main()

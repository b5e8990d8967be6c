"""Fails when modules of a crate import each other in a circle: `circles.py actors/src`. Tests and comments do not count."""

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path


def imports(root: Path) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """For each module the modules that it names with `crate::`, `super::` or `self::`, each as the parts of its path."""
    texts = {file.relative_to(root).with_suffix("").parts: file.read_text() for file in root.rglob("*.rs")}
    graph = {}
    for module, text in texts.items():
        code = re.sub(r"^\s*//.*", "", text.split("#[cfg(test)]")[0], flags=re.M)
        named = set()
        paths = re.findall(r"\b(crate|super|self)::((?:[a-z_]+::)*)", code)
        paths += [("self", path) for path in re.findall(r"^(?:pub )?use ((?:[a-z_]+::)+)", code, flags=re.M)]
        for start, path in paths:
            base = {"crate": (), "super": module[:-1], "self": module}[start]
            target = base + tuple(path.split("::")[:-1])
            while target and target not in texts:
                target = target[:-1]
            named.add(target)
        # A submodule may use what its parent keeps for it; the parent's imports tell who depends on whom.
        graph[module] = {other for other in named - {module, ()} if module[: len(other)] != other}
    return graph


def main() -> int:
    failed = False
    for root in sys.argv[1:]:
        try:
            TopologicalSorter(imports(Path(root))).prepare()
        except CycleError as error:
            failed = True
            print(f"{root}: modules import each other:", " -> ".join("::".join(name) for name in error.args[1]), file=sys.stderr)
    return failed


sys.exit(main())

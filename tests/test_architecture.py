"""Who may import whom (docs/architecture.md), read from the code itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "parrotlet_tokenizer": ROOT / "tokenizer" / "parrotlet_tokenizer",
    "parrotlet_server": ROOT / "server" / "parrotlet_server",
    "parrotlet_training": ROOT / "training" / "parrotlet_training",
}
ALLOWED = {
    "parrotlet_tokenizer": set(),
    "parrotlet_server": {"parrotlet_tokenizer"},
    "parrotlet_training": {"parrotlet_tokenizer", "parrotlet_server"},
}
# within the server: each layer sees only those below it
LAYERS = {
    "lsp": {"lsp", "engine", "bundle"},
    "engine": {"engine", "backends", "bundle"},
    "backends": {"backends", "bundle"},
    "bundle": {"bundle"},
}
TRAINING_ONLY = {"torch", "transformers", "datasets", "accelerate", "pyarrow", "yaml", "tqdm"} | {
    "datatrove",
    "detect_secrets",
    "identify",
    "license_expression",
    "matplotlib",
    "py3langid",
    "rapidfuzz",
    "rensa",
}


def imports(file: Path, package_root: Path) -> set[str]:
    """Absolute dotted names that a module imports, at any depth of its code."""
    here = [package_root.name, *file.relative_to(package_root).with_suffix("").parts]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_lies_below(package):
    root = PACKAGES[package]
    files = list(root.rglob("*.py"))
    assert files
    for file in files:
        others = {name.split(".")[0] for name in imports(file, root)} & PACKAGES.keys()
        assert others <= ALLOWED[package] | {package}, file


@pytest.mark.parametrize("layer", LAYERS)
def test_server_layers_import_only_what_lies_below(layer):
    root = PACKAGES["parrotlet_server"]
    files = list((root / layer).rglob("*.py"))
    assert files
    for file in files:
        for name in imports(file, root):
            parts = name.split(".")
            if parts[0] == "parrotlet_server" and len(parts) > 1 and parts[1] in LAYERS:
                assert parts[1] in LAYERS[layer], f"{file} imports {name}"


@pytest.mark.parametrize("package", ["parrotlet_server", "parrotlet_tokenizer"])
def test_plain_install_needs_nothing_of_training(package):
    root = PACKAGES[package]
    for file in root.rglob("*.py"):
        if (package, file.name) == ("parrotlet_tokenizer", "corpus.py"):
            continue  # reads a corpus with pyarrow, inside one function
        if file.relative_to(root).as_posix() == "backends/torch.py":
            continue  # imported only by whoever asks for this backend
        tops = {name.split(".")[0] for name in imports(file, root)}
        assert not tops & TRAINING_ONLY, file

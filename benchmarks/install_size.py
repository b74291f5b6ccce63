"""Installs the package without extras into a fresh environment and reports its size on disk.

    python benchmarks/install_size.py [--output runs/install_size.json]

Counted are all files, with byte code, that the installation adds to an empty virtual environment, in
MB (10**6 bytes). Fails if torch or torchvision came along.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
UNWANTED = ("torch", "torchvision")
LARGEST = 12


def sizes(folder: Path) -> Counter[str]:
    """Return the bytes below `folder`, by the entry of site-packages (or other folder) they lie in."""
    found: Counter[str] = Counter()
    for path, _, names in os.walk(folder):
        parts = Path(path).relative_to(folder).parts
        entry = parts[parts.index("site-packages") + 1 :][:1] if "site-packages" in parts else parts[:1]
        for name in names:
            file = Path(path) / name
            if not file.is_symlink():
                found[entry[0] if entry else name] += file.stat().st_size
    return found


def copy_of_source(folder: Path) -> Path:
    """Copy what the build reads: it leaves its traces there, and finds nothing stale."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(REPOSITORY / name, folder)
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", folder / "src", ignore=leave_out)
    return folder


def main() -> None:
    """Install, add up, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=None, help="write the figures as JSON, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        environment = Path(name) / "env"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        empty = sizes(environment)
        python = str(environment / "bin/python")
        source = copy_of_source(Path(name) / "source")
        subprocess.run([python, "-m", "pip", "install", "-qq", "--compile", str(source)], check=True)
        added = sizes(environment)
        added.subtract(empty)
        listing = subprocess.run(
            [python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True, text=True
        ).stdout
    packages = {package["name"].lower(): package["version"] for package in json.loads(listing)}
    results: dict[str, Any] = {
        "total_mb": sum(added.values()) / 1e6,
        "largest_mb": {entry: round(size / 1e6, 1) for entry, size in added.most_common(LARGEST)},
        "unwanted": [package for package in UNWANTED if package in packages],
        "packages": packages,
    }
    for entry, size in results["largest_mb"].items():
        print(f"{entry:32} {size:8.1f} MB")
    print(f"{'all that was added':32} {results['total_mb']:8.1f} MB")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    if results["unwanted"]:
        sys.exit(f"installed, and should not be: {', '.join(results['unwanted'])}")
    print("neither torch nor torchvision was installed")


if __name__ == "__main__":
    main()

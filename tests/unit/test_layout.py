"""The shape of the repository: what may lie where, and how large it may grow."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    ".ci", ".dockerignore", ".gitignore", ".python-version", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
    "README.md", "api", "benchmarks", "collections", "docker", "docs", "pyproject.toml", "requirements.lock",
    "stac_ingest", "tests",
}  # fmt: skip
MAX_LINES = 600
FORBIDDEN_NAMES = {"utils", "util", "helpers", "misc", "common"}


def tracked() -> list[Path]:
    import subprocess

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [Path(name) for name in listed.split("\0") if name]


def test_no_top_level_folder_shadows_the_standard_library() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert not packages & sys.stdlib_module_names


def test_collections_is_data_only() -> None:
    assert not list((ROOT / "collections").rglob("*.py"))


def test_top_level_holds_what_a_stranger_expects() -> None:
    assert {path.parts[0] for path in tracked()} <= TOP_LEVEL


def test_no_drawer_for_everything() -> None:
    assert not [path for path in tracked() if path.stem in FORBIDDEN_NAMES]


def test_modules_stay_readable() -> None:
    long = {
        str(path): lines
        for path in tracked()
        if path.suffix == ".py"
        and path.parts[0] != "tests"
        and (lines := len((ROOT / path).read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_nothing_names_a_package_index_or_a_path_of_this_machine() -> None:
    for name in ("requirements.lock", "benchmarks/peers.lock"):
        lock = (ROOT / name).read_text()
        assert not re.search(r"https?://|--index-url|--find-links|file:|/root/|/work/", lock), name
        assert "--hash=sha256:" in lock, name


def test_every_page_that_the_documentation_links_to_exists() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_changelog_names_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert version[1] in (ROOT / "CHANGELOG.md").read_text()


def test_collections_are_json() -> None:
    for path in (ROOT / "collections").glob("*/collection.json"):
        assert isinstance(json.loads(path.read_text()), dict)

"""The pages for analysts hold: every block runs and prints what it says, and the reference leaves nothing out."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import stac_ingest
from stac_ingest.client.objects import Attribute
from tests.conftest import ROOT, Service

GUIDE = ROOT / "docs" / "guide"
REFERENCE = ROOT / "docs" / "reference"
NOTEBOOK = GUIDE / "example.ipynb"
MAX_LINES = 300
MAX_NOTEBOOK_BYTES = 100_000
PAGES = sorted(page.name for page in GUIDE.glob("*.md"))
_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<said>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Code of a page, and what the page says that it prints; None where it says nothing of that."""

    line: int
    code: str
    said: str | None


def blocks(text: str) -> Iterator[Block]:
    """Yield the Python blocks of a page with the text block that follows each."""
    for found in _BLOCK.finditer(text):
        yield Block(text[: found.start()].count("\n") + 1, found["code"], found["said"])


def run(page: Path) -> None:
    """Run the blocks of a page in one namespace, in order.

    Raises:
        AssertionError: A block prints something else than the page says.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page.read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.code, str(page), "exec"), namespace)
        if block.said is not None:
            agrees = doctest.OutputChecker().check_output(block.said, printed.getvalue(), doctest.ELLIPSIS)
            assert agrees, f"{page.name}:{block.line} says\n{block.said}\nand prints\n{printed.getvalue()}"


@pytest.fixture
def reader(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sit where someone sits who tries the pages: a running service, and a folder of their own."""
    monkeypatch.setenv("STAC_INGEST_URL", service.url)
    monkeypatch.chdir(tmp_path)


# --- The guide


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("reader")
def test_a_page_of_the_guide_runs(name: str) -> None:
    run(GUIDE / name)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", AssertionError),
        ("```python\nprint(1)\n```\n\n```text\n```\n", AssertionError),
        ("```python\nx = 1\n```\n\n```python\nprint(y)\n```\n", NameError),
        ("```python\nimport warnings\nwarnings.warn('old', stacklevel=1)\n```\n", UserWarning),
    ],
)
def test_a_wrong_block_is_found(text: str, error: type[Exception], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(error):
        run(page)


def test_blocks_share_a_namespace_and_may_leave_out_what_varies(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 'a 12 z'\n```\nprose\n```python\nprint(x)\n```\n\n```text\na ... z\n```\n")
    run(page)
    assert [(block.line, block.said) for block in blocks(page.read_text())] == [(1, None), (5, "a ... z\n")]


def test_every_page_of_the_guide_is_short_and_says_something() -> None:
    assert {"products.md", "images.md", "searching.md", "reading.md"} <= set(PAGES)
    for name in PAGES:
        text = (GUIDE / name).read_text()
        assert len(text.splitlines()) <= MAX_LINES, name
        assert text.count("```python") == len(list(blocks(text))) > 5, name


# --- The notebook


def read_notebook() -> Any:
    return nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("reader")
def test_the_notebook_runs() -> None:
    notebook = read_notebook()
    before = [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"] == before


def test_the_notebook_is_kept_with_its_outputs() -> None:
    notebook = read_notebook()
    nbformat.validate(notebook)
    kinds = {kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds
    text = NOTEBOOK.read_text()
    assert len(text) < MAX_NOTEBOOK_BYTES
    assert not re.search(r"/root/|/work/|/home/|/tmp/|\.venv|--index-url|simple/", text)


# --- The reference


def test_the_reference_names_every_public_name_once() -> None:
    shown = [
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^\.\. auto\w+:: stac_ingest\.(\w+)$", page.read_text(), re.MULTILINE)
    ]
    assert sorted(shown) == sorted(stac_ingest.__all__)


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    built = tmp_path / "docs"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(built)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = "".join(page.read_text() for page in (built / "reference").glob("*.html"))
    assert [name for name in attributes() if f'id="{name}"' not in shown] == []
    assert "Share covered by clouds, 0 to 1.\n\nType:\nfloat | None" in re.sub(r"<[^>]+>", "", shown)
    assert (built / "guide" / "example.html").read_text().count("<img ") >= 2


def attributes() -> Iterator[str]:
    """Yield the attributes of catalog objects, each with the class that has it first."""
    for name in stac_ingest.__all__:
        found = vars(getattr(stac_ingest, name)).items() if inspect.isclass(getattr(stac_ingest, name)) else ()
        yield from (f"stac_ingest.{name}.{own}" for own, value in found if isinstance(value, Attribute))

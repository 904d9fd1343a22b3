"""How Sphinx builds the documentation: Markdown pages, a notebook, and the reference from docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

from sphinx.util.typing import stringify_annotation

from stac_ingest.client.objects import Attribute
from stac_ingest.client.searching.searches import Search
from stac_ingest.filters import Property
from stac_ingest.models.values import Value

project = "stac-ingest"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "stac-ingest"
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3
nb_execution_mode = "off"

add_module_names = False
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "VALUE, ATTRIBUTES, KIND, COLUMNS, VOCABULARY, model_config, model_post_init",
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def setup(app: Any) -> None:
    """Have our classes and docstrings shown as they are meant."""
    for cls in _subclasses(Value):
        show_plain_types(cls)
    app.connect("autodoc-process-signature", leave_out_signature)
    app.connect("autodoc-process-docstring", translate, priority=100)  # before napoleon


def show_plain_types(cls: type[Value]) -> None:
    """Keep what pydantic checks out of the types of a value's attributes."""
    hints = get_type_hints(cls)
    signature = inspect.signature(cls)
    parameters = [one.replace(annotation=hints.get(one.name, Any)) for one in signature.parameters.values()]
    cls.__annotations__ = {name: hints[name] for name in cls.__annotations__}
    cls.__signature__ = signature.replace(parameters=parameters)


def leave_out_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, None] | None:
    """Leave out how what nobody calls is called."""
    uncalled = inspect.isclass(obj) and issubclass(obj, Enum | Exception | Search | Property)
    return ("", None) if uncalled and signature else None


def translate(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Write `code` as reStructuredText does, and say of an attribute of catalog objects its type and who sets it."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    if what not in ("attribute", "property", "data"):
        return
    kind = ""
    if isinstance(obj, Attribute):
        kind = stringify_annotation(plain_type(get_args(obj.__orig_class__)[0]), "smart")
        if obj.readonly or obj.immutable:
            lines += ["", "Read-only." if obj.readonly else "Set when the object is made."]
    lines[0] = f"{kind}: {lines[0]}"  # as napoleon expects it: else it takes the words before any colon for the type


def plain_type(kind: Any) -> Any:
    """Return a type without what pydantic checks."""
    return get_type_hints(SimpleNamespace(__annotations__={"kind": kind}))["kind"]


def _subclasses(cls: type) -> Iterator[type[Any]]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)

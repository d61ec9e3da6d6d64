"""HTML from templates, with whatever is put into them escaped. The templates lie in ``templates/``."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    keep_trailing_newline=False,
)


def render(template: str, **values: object) -> str:
    """A template's HTML. Text among the values is escaped.

    Args:
        template: a file of ``templates/``, such as "pair.html".
        values: that it names; one that is missing is an error.
    """
    return ENVIRONMENT.get_template(template).render(**values)


def escaped(text: str) -> str:
    """Plain text as HTML, for a component whose value is put in as it is."""
    return render("plain.html", text=text)

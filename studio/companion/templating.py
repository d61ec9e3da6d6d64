"""HTML of the companion's pages, from templates that escape whatever is put into them. They lie in ``templates/``."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **values: object) -> str:
    """The HTML of ``templates/NAME.html``. Text among ``values`` is escaped; one that is missing is an error."""
    return _TEMPLATES.get_template(f"{name}.html").render(**values).strip()

"""Pages that are rendered from `templates/`, and the tables in them."""

from functools import cache
from typing import Any

import jinja2

Table = tuple[list[str], list[list[str]]]
"""Column names and rows."""


def render(template: str, **variables: Any) -> str:
    """Render a template; the values of an HTML page are escaped."""
    return _environment().get_template(template).render(**variables)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("caan_hf.evaluation", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["score"] = lambda value: f"{value:.4f}"
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["plain"] = lambda name: name.replace("_", " ")
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    return environment

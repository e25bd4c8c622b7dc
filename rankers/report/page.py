"""A self-contained page of sections, each with tables and charts: no scripts, no other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from rankers.files.atomic import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cell of a table that leads to a file beside the page."""

    text: str
    href: str


TableCell = str | Link


@dataclass(frozen=True, slots=True, kw_only=True)
class PageChart:
    """A figure with its title; ``note`` says how to read it."""

    title: str
    svg: str
    note: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """One heading and what stands below it."""

    title: str
    text: str = ""
    table: Sequence[Sequence[TableCell]] = ()
    """The first row is the header, the first column holds names and the others figures."""
    charts: Sequence[PageChart] = ()
    notes: Sequence[str] = field(default_factory=list)


def write_page(path: Path, *, title: str, lead: str, sections: Sequence[PageSection]) -> None:
    """Write the page; it appears whole or not at all."""
    write_text(path, render_page(title=title, lead=lead, sections=sections))


def render_page(*, title: str, lead: str, sections: Sequence[PageSection]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("rankers.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["link"] = lambda cell: isinstance(cell, Link)
    template = environment.get_template("page.html.j2")
    return template.render(title=title, lead=lead, sections=sections)

"""Sections of text, tables and pictures, as one HTML page or as Markdown."""

import base64
from collections.abc import Iterator, Sequence
from html import escape

import msgspec

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 74rem; margin: 2rem auto }
h2 { border-top: 1px solid #ccc; margin-top: 2.5rem; padding-top: 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #e4e4e4; vertical-align: top }
img { max-width: 100% }
figure { margin: 1rem 0 }
figcaption { color: #555; font-size: 13px }
"""


class Table(msgspec.Struct, frozen=True):
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Picture(msgspec.Struct, frozen=True):
    caption: str
    svg: str


class Section(msgspec.Struct, frozen=True):
    """`text`: paragraphs without markup."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def html_page(title: str, sections: Sequence[Section]) -> str:
    """A page that needs no other file."""
    body = "\n".join(part for section in sections for part in _html(section))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def markdown(section: Section) -> str:
    """Without the title; pictures are inline."""
    parts = [_plain(paragraph) for paragraph in section.text]
    for table in section.tables:
        lines = [table.head, ("---",) * len(table.head), *table.rows]
        rows = "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)
        parts += [f"**{_plain(table.caption)}**", rows]
    parts += [f"![{_plain(p.caption)}]({_inline(p.svg)})" for p in section.pictures]
    return "\n\n".join(parts)


def _html(section: Section) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2>"
    for paragraph in section.text:
        yield f"<p>{escape(paragraph)}</p>"
    for picture in section.pictures:
        caption = escape(picture.caption)
        yield (
            f'<figure><img src="{_inline(picture.svg)}" alt="{caption}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    for table in section.tables:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
        yield f"<table><caption>{escape(table.caption)}</caption><tr>{head}</tr>"
        for row in table.rows:
            yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        yield "</table>"


def _plain(text: str) -> str:
    """No cell may end a table's cell or line."""
    return text.replace("|", "\\|").replace("\n", " ")


def _inline(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"

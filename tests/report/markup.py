"""Reading a page as a browser does, strictly: what is opened is closed, and nothing is asked of anybody."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Page", "parse"]

VOID = {"meta", "wbr", "line", "circle", "polyline", "rect"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "div", "p", "h1", "h2"),
    *("h3", "dl", "dt", "dd", "ul", "li", "b", "small", "wbr", "table", "thead", "tbody", "tfoot", "tr", "th", "td"),
    *("svg", "g", "line", "text", "circle", "polyline", "rect"),
}


class Page(HTMLParser):
    """What stands in a page.

    Attributes:
        tags: All that were opened, with their attributes.
        text: All that is read, and pointed at.
        titles: What is said where something is pointed at.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.titles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, f"<{tag}>"
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        for name, value in attrs:
            assert not name.startswith("on"), f"a script in {name}"
            assert name not in ("href", "src", "style", "srcset", "action"), f"{name}={value}"
        self.tags.append((tag, dict(attrs)))
        if tag == "title":
            self.titles.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return  # a rect with a title in it
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if self.open and self.open[-1] == "title":
            self.titles[-1] += data


def parse(text: str) -> Page:
    """Read a page, or a piece of one."""
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == [], f"never closed: {page.open}"
    return page

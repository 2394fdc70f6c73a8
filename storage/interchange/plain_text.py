"""The text of an element that may hold markup. Knows which markup a segment of plain text can do without."""

from xml.etree.ElementTree import Element

# Highlighting and annotations: their text is the segment's. All other markup stands for codes of a document.
TRANSPARENT = frozenset({"hi", "mrk"})


class InlineCodeError(Exception):
    """The text cannot be plain: without its codes it would be another text."""

    def __init__(self) -> None:
        super().__init__("it holds codes of a document, which a segment of plain text has no place for")


def plain_text(element: Element) -> str:
    """The characters of the element; raises `InlineCodeError`."""
    if any(local_name(inner) not in TRANSPARENT for inner in element.iter() if inner is not element):
        raise InlineCodeError
    return "".join(element.itertext())


def local_name(element: Element) -> str:
    """Its name without a prefix."""
    return element.tag.rpartition(":")[2]


def children(element: Element, name: str) -> list[Element]:
    """Those directly in it that have this name, whatever their prefix."""
    return [inner for inner in element if local_name(inner) == name]


def child(element: Element, name: str) -> Element | None:
    """The first of them."""
    return next(iter(children(element, name)), None)

"""Add keywords to an XMP document, or make one.

Keywords are items of dc:subject and lr:hierarchicalSubject (XMP specification, part 1, sections 7.4 and 8.4: an
unordered array is an rdf:Bag). All else in the document stays: `xml.dom.minidom` keeps prefixes, declarations, comments
and processing instructions.
"""

from __future__ import annotations

from xml.dom import minidom
from xml.dom.minidom import Document, Element, Node
from xml.parsers.expat import ExpatError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LR = "http://ns.adobe.com/lightroom/1.0/"
_ARRAYS = ("Bag", "Seq", "Alt")
_NEW = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="" xmlns:dc="{DC}" xmlns:lr="{LR}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def with_keyword(old: bytes | None, keyword: str, parents: tuple[str, ...] = ()) -> bytes | None:
    """Return the document with the keyword added; None if it has the keyword already.

    old: the document, or None for a new one. parents: keywords above it in lr:hierarchicalSubject, the highest first.
    Raises `ValueError` with the reason for a document that cannot be understood.
    """
    if any(not _is_xml_character(character) for name in (keyword, *parents) for character in name):
        raise ValueError("the class name has characters that XML cannot hold")
    document = _parse(old)
    description = _description(document)
    hierarchy = "|".join(name.replace("|", "/") for name in (*parents, keyword))
    added = [
        _add(document, description, DC, "dc:subject", keyword),
        _add(document, description, LR, "lr:hierarchicalSubject", hierarchy),
    ]
    if not any(added):
        return None
    has_declaration = old is not None and old.lstrip(b"\xef\xbb\xbf").startswith(b"<?xml")
    text = document.toxml() if has_declaration else "\n".join(node.toxml() for node in document.childNodes)
    return text.encode() + b"\n"


def keywords(data: bytes) -> list[str]:
    """Return the items of dc:subject."""
    return [_text(item) for each in _parse(data).getElementsByTagNameNS(DC, "subject") for item in _items(each)]


def _parse(data: bytes | None) -> Document:
    if data is not None and not data.strip():
        raise ValueError("it is empty")
    try:
        document = minidom.parseString(_NEW.encode() if data is None else data)
    except (ExpatError, ValueError, LookupError) as error:
        raise ValueError(f"it is not XML: {error}") from error
    if document.doctype is not None:
        raise ValueError("it has a document type, which XMP does not allow")
    return document


def _description(document: Document) -> Element:
    """Return the first rdf:Description of the document, a new one if there is none."""
    roots = document.getElementsByTagNameNS(RDF, "RDF")
    if len(roots) != 1:
        raise ValueError(f"it has {len(roots)} elements rdf:RDF; XMP has one")
    found = [child for child in _elements(roots[0]) if (child.namespaceURI, child.localName) == (RDF, "Description")]
    if found:
        return found[0]
    description = _new_element(document, RDF, "rdf:Description", roots[0])
    description.setAttributeNS(RDF, _prefixed(RDF, "rdf:about", roots[0]), "")
    return description


def _add(document: Document, description: Element, namespace: str, name: str, keyword: str) -> bool:
    """Add an item to an array property, and return whether it was not there yet."""
    siblings = _elements(description.parentNode)
    found = [
        child
        for sibling in siblings
        for child in _elements(sibling)
        if (child.namespaceURI, child.localName) == (namespace, name.split(":")[1])
    ]
    if any(sibling.hasAttributeNS(namespace, name.split(":")[1]) for sibling in siblings):
        raise ValueError(f"its {name} is not a list")
    if found:
        arrays = [child for child in _elements(found[0]) if child.namespaceURI == RDF and child.localName in _ARRAYS]
        if len(found) > 1 or len(arrays) != 1:
            raise ValueError(f"its {name} is not a list")
        if keyword in map(_text, _items(found[0])):
            return False
        array = arrays[0]
    else:
        array = _new_element(document, RDF, "rdf:Bag", _new_element(document, namespace, name, description))
    _new_element(document, RDF, "rdf:li", array).appendChild(document.createTextNode(keyword))
    return True


def _items(element: Element) -> list[Element]:
    items = element.getElementsByTagNameNS(RDF, "li")
    return [item for item in items if isinstance(item, Element)]


def _elements(node: Node | None) -> list[Element]:
    return [child for child in node.childNodes if isinstance(child, Element)] if node is not None else []


def _text(element: Element) -> str:
    return "".join(child.data for child in element.childNodes if child.nodeType in (Node.TEXT_NODE, 4))


def _new_element(document: Document, namespace: str, name: str, parent: Element) -> Element:
    """Append an element, with the prefix that the namespace has here; otherwise with that of `name`, declared on it."""
    prefix = _prefix(namespace, parent)
    element = document.createElementNS(namespace, f"{prefix}:{name.split(':')[1]}" if prefix else name)
    if not prefix:
        element.setAttribute(f"xmlns:{name.split(':')[0]}", namespace)
    parent.appendChild(element)
    return element


def _prefixed(namespace: str, name: str, node: Element) -> str:
    return f"{_prefix(namespace, node) or name.split(':')[0]}:{name.split(':')[1]}"


def _prefix(namespace: str, node: Element) -> str | None:
    """Return the prefix of a namespace at an element, None if it has none."""
    hidden: set[str] = set()
    current: Node | None = node
    while isinstance(current, Element):
        for name, value in current.attributes.items():
            if name.startswith("xmlns:") and name not in hidden:
                if value == namespace:
                    return name.removeprefix("xmlns:")
                hidden.add(name)
        current = current.parentNode
    return None


def _is_xml_character(character: str) -> bool:
    """Return whether XML 1.0 allows a character in a text (production 2, without the line ends)."""
    code = ord(character)
    return code == 0x9 or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000

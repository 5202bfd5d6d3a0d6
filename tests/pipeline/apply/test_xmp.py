"""Keywords are added to XMP documents, and all else in them stays."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from revcd_cli.pipeline.apply.xmp import DC, LR, RDF, keywords, with_keyword

HEAD = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
TAIL = "</rdf:RDF></x:xmpmeta>"
LIGHTROOM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" crs:Exposure2012="+0.50" xmp:Rating="3">
   <!-- kept -->
   <dc:subject xmlns:dc="{DC}">
    <rdf:Bag>
     <rdf:li>forest &amp; fen</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:a="http://ns.adobe.com/lightroom/1.0/">
   <a:hierarchicalSubject><rdf:Bag><rdf:li>places|forest</rdf:li></rdf:Bag></a:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def items(data: bytes, namespace: str, name: str) -> list[str | None]:
    """Read an array with another parser."""
    root = ElementTree.fromstring(data)
    return [item.text for item in root.findall(f".//{{{namespace}}}{name}/{{{RDF}}}Bag/{{{RDF}}}li")]


def others(data: bytes) -> list[tuple]:
    """Return every element but the items of arrays: tag, attributes and text without white space."""
    root = ElementTree.fromstring(data)
    return [
        (each.tag, sorted(each.attrib.items()), (each.text or "").strip())
        for each in root.iter()
        if each.tag != f"{{{RDF}}}li"
    ]


def test_a_new_document_has_the_keyword_in_both_properties():
    data = with_keyword(None, "grizzly bear <1> & 'co'", ("animals", "a|b"))
    assert items(data, DC, "subject") == keywords(data) == ["grizzly bear <1> & 'co'"]
    assert items(data, LR, "hierarchicalSubject") == ["animals|a/b|grizzly bear <1> & 'co'"]
    assert data.startswith(b"<?xpacket begin=") and data.rstrip().endswith(b'<?xpacket end="w"?>')


def test_a_keyword_that_is_there_changes_nothing():
    data = with_keyword(None, "moose", ("animals",))
    assert with_keyword(data, "moose", ("animals",)) is None


def test_merging_keeps_keywords_settings_comments_and_processing_instructions():
    merged = with_keyword(LIGHTROOM.encode(), "moose")
    assert items(merged, DC, "subject") == ["forest & fen", "moose"]
    assert items(merged, LR, "hierarchicalSubject") == ["places|forest", "moose"]
    assert others(merged) == others(LIGHTROOM.encode())
    text = merged.decode()
    assert "<!-- kept -->" in text and text.count("<?xpacket") == 2
    assert re.findall(r"xmlns:\w+", text).count("xmlns:a") == 1  # the prefixes of the document


@pytest.mark.parametrize(
    "old",
    [
        f'<?xml version="1.0" encoding="UTF-8"?>{HEAD}{TAIL}',
        f'{HEAD}<rdf:Description rdf:about=""/>{TAIL}',
        f'<r:RDF xmlns:r="{RDF}" xmlns:dc="other"><r:Description r:about=""/></r:RDF>',
    ],
)
def test_a_document_without_keywords_gets_them(old: str):
    merged = with_keyword(old.encode(), "moose")
    assert items(merged, DC, "subject") == items(merged, LR, "hierarchicalSubject") == ["moose"]
    assert merged.startswith(b"<?xml") == old.startswith("<?xml")


def test_a_document_in_utf_16_is_understood():
    old = f'<?xml version="1.0" encoding="utf-16"?>{HEAD}<rdf:Description rdf:about="é"/>{TAIL}'.encode("utf-16")
    merged = with_keyword(old, "élan")
    assert items(merged, DC, "subject") == ["élan"]
    assert "é" in merged.decode("utf-8")


@pytest.mark.parametrize(
    ("old", "says"),
    [
        (b"", "empty"),
        (b"<x", "not XML"),
        (b"<x/>", "0 elements rdf:RDF"),
        (f'{HEAD}<rdf:Description xmlns:dc="{DC}" dc:subject="forest"/>{TAIL}'.encode(), "dc:subject is not a list"),
        (
            f'{HEAD}<rdf:Description xmlns:dc="{DC}"><dc:subject>forest</dc:subject></rdf:Description>{TAIL}'.encode(),
            "dc:subject is not a list",
        ),
        (f'<!DOCTYPE x [<!ENTITY a "b">]>{HEAD}{TAIL}'.encode(), "document type"),
    ],
)
def test_a_document_that_is_not_understood_is_refused(old: bytes, says: str):
    with pytest.raises(ValueError, match=says):
        with_keyword(old, "moose")


def test_a_keyword_that_xml_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="characters that XML cannot hold"):
        with_keyword(None, "moo\x07se")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("old", [None, LIGHTROOM.encode()], ids=["new", "merged"])
def test_exiftool_reads_the_keywords(old: bytes | None, tmp_path: Path):
    (tmp_path / "a.xmp").write_bytes(with_keyword(old, "moose", ("animals",)))
    command = ["exiftool", "-s3", "-sep", ";", "-Subject", "-HierarchicalSubject", "-Warning", "a.xmp"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    before = ("", "") if old is None else ("forest & fen;", "places|forest;")
    assert printed == [f"{before[0]}moose", f"{before[1]}animals|moose"]

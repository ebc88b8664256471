"""Calls files that are not taken by their names, from their first bytes."""

_STARTS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"8BPS", "a Photoshop document (PSD)"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"#?RGBE", "a Radiance HDR picture"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\xff\xd8", "a damaged JPEG"),
    (0, b"\x89PNG", "a damaged PNG"),
    (0, b"FUJIFILMCCD-RAW", "a raw file (RAF)"),
    (0, b"IIRO", "a raw file (ORF)"),
    (0, b"IIRS", "a raw file (ORF)"),
    (0, b"MMOR", "a raw file (ORF)"),
    (0, b"IIU\0", "a raw file (RW2)"),
    (0, b"FOVb", "a raw file (X3F)"),
    (0, b"\0MRM", "a raw file (MRW)"),
    (6, b"HEAPCCDR", "a raw file (CRW)"),
    (0, b"II\xbc", "a JPEG XR"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"DDS ", "a texture (DDS)"),
    (0, b"\x0a\x05\x01\x08", "a PCX"),
    (0, b"qoif", "a QOI"),
    (0, b"gimp xcf", "a GIMP document (XCF)"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (8, b"AVI ", "a film (AVI)"),
    (8, b"WAVE", "a sound (WAV)"),
    (0, b"\x1a\x45\xdf\xa3", "a film (Matroska or WebM)"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
)
_BRANDS = {
    b"avif": "an AVIF",
    b"avis": "an AVIF sequence",
    b"crx ": "a raw file (CR3)",
    b"heic": "a HEIC",
    b"heix": "a HEIC",
    b"heim": "a HEIC",
    b"heis": "a HEIC",
    b"hevc": "a HEIC sequence",
    b"hevx": "a HEIC sequence",
    b"mif1": "a HEIF",
    b"mif2": "a HEIF",
    b"msf1": "a HEIF sequence",
    b"qt  ": "a film (QuickTime)",
}
"""Major brands of ISO/IEC 14496-12; every other one is a film."""

_PIXMAPS = frozenset(b"1234567Ff")
_TEXT_BYTES = 64


def name_content(start: bytes) -> str:
    """Name a file that no parser takes, with its article.

    Args:
        start: Its first bytes; 64 are enough.

    Example:
        >>> name_content(b"%PDF-1.7"), name_content(b"")
        ('a PDF', 'an empty file')
    """
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a film (MP4)")
    for offset, magic, name in _STARTS:
        if start.startswith(magic, offset):
            return name
    if start[:1] == b"P" and start[1:2] and start[1] in _PIXMAPS and start[2:3].isspace():
        return "a portable pixmap (PNM)"
    return _name_text(start[:_TEXT_BYTES])


def _name_text(start: bytes) -> str:
    words = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if words.startswith((b"<svg", b"<?xml")):
        return "an SVG or another XML file"
    if words.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML)"
    if words.startswith((b"{", b"[")):
        return "a JSON text"
    is_text = all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in start)
    return "a text" if is_text else "other content"

"""Calls files that are not read by their names."""

_BOX = slice(4, 8)
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "a HEIC sequence",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "a HEIF sequence",
    b"avif": "AVIF",
    b"avis": "an AVIF sequence",
    b"crx ": "a Canon raw file (CR3)",
    b"qt  ": "a QuickTime film",
}
_STARTS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"8BPS", "a Photoshop file (PSD)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\xd8", "a JPEG file whose second segment is missing"),
    (b"II\xbc", "JPEG XR"),
    (b"FUJIFILMCCD-RAW", "a Fujifilm raw file (RAF)"),
    (b"IIRO", "an Olympus raw file (ORF)"),
    (b"IIRS", "an Olympus raw file (ORF)"),
    (b"MMOR", "an Olympus raw file (ORF)"),
    (b"IIU\0", "a Panasonic raw file (RW2)"),
    (b"FOVb", "a Sigma raw file (X3F)"),
    (b"\0MRM", "a Minolta raw file (MRW)"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"gimp xcf", "a GIMP file (XCF)"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"P1", "a Netpbm file"),
    (b"P2", "a Netpbm file"),
    (b"P3", "a Netpbm file"),
    (b"P4", "a Netpbm file"),
    (b"P5", "a Netpbm file"),
    (b"P6", "a Netpbm file"),
    (b"\0\0\x01\0", "an icon (ICO)"),
)
_TEXT_STARTS = (
    (b"<svg", "SVG"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
)
NAMED_BYTES = 64
"""As many of a file's first bytes are looked at."""


def name_content(start: bytes) -> str:
    """What a file is that begins so.

    Args:
        start: The first bytes of it, `NAMED_BYTES` at most; untrusted.

    Example:
        >>> name_content(bytes.fromhex("00000018") + b"ftypheic"), name_content(b"hello")
        ('HEIC', 'text')
    """
    if not start:
        return "an empty file"
    if start[_BOX] == b"ftyp":
        return _BRANDS.get(start[8:12], "an MP4 film or the like")
    for magic, name in _STARTS:
        if start.startswith(magic):
            return name
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, name in _TEXT_STARTS:
        if text.startswith(magic):
            return name
    is_text = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start)
    return "text" if is_text else "other content"

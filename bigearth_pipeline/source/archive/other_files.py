"""Files that are no tar, by their first bytes: what a source is that was named by mistake."""

from typing import Final

EXPECTED: Final = "a folder of patches or an archive: .tar, .tar.zst, .tar.gz, .tar.bz2 or .tar.xz"

_KINDS: Final = {
    b"PK\x03\x04": "a ZIP archive; unpack it and name the folder",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it and name the folder",
    b"Rar!": "a RAR archive; unpack it and name the folder",
    b"\x04\x22\x4d\x18": "LZ4, which is not read here; decompress it",
    b"LZIP": "lzip, which is not read here; decompress it",
    b"\x1f\x9d": "the format of `compress`, which is not read here; decompress it",
    b"PAR1": "Parquet, such as a table of BigEarthNet; tables go with `metadata=`",
    b"II*\0": "a TIFF; name the folder that holds the folders of patches",
    b"MM\0*": "a TIFF; name the folder that holds the folders of patches",
    b"\x89HDF": "HDF5",
    b"\x89PNG": "a PNG picture",
    b"%PDF": "a PDF",
}
_PAGES: Final = (b"<!doctype html", b"<html")
_SHOWN: Final = 8  # Bytes that are shown of what is not known.


def describe(head: bytes) -> str:
    """Return what a file holds, and what to do about it where that is known.

    Args:
        head: its first bytes, up to some hundreds; of a compressed file those of its content.
    """
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return kind
    if head.lstrip().lower().startswith(_PAGES):
        return "a page of HTML, as servers send in place of a file; get it again"
    if head and not head.strip(b"\0"):
        return "zeros"
    try:
        # The last character may be cut off.
        text = head.decode("utf-8", "strict" if len(head) < 4 else "ignore")
    except UnicodeDecodeError:
        text = ""
    if text and len(text.encode()) > len(head) - 4 and all(one.isprintable() or one.isspace() for one in text):
        return "text"
    return f"nothing that is known here; its first bytes are {head[:_SHOWN].hex(' ')}"

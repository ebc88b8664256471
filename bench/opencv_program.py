"""OpenCV's own alignment and fusion from files to a file, and nothing else; a program too.

python bench/opencv_program.py TARGET QUALITY EXPOSURE EXPOSURE ...
"""

import sys

import cv2
import numpy as np


def fuse_files(paths: list[str], target: str, quality: int) -> None:
    """Read, align, fuse and write.

    Args:
        paths: Exposures, dark to bright.
        target: The JPEG file that is written.
        quality: Of it.

    Raises:
        OSError: A file cannot be read or written.
    """
    read = [cv2.imread(path) for path in paths]
    pictures = [picture for picture in read if picture is not None]
    if len(pictures) < len(read):
        raise OSError("expected pictures, one of the files is none")
    cv2.createAlignMTB().process(pictures, pictures)
    fused = cv2.createMergeMertens().process(pictures)
    shown = np.clip(fused * 255, 0, 255).astype(np.uint8)
    if not cv2.imwrite(target, shown, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise OSError(f"expected {target} to be written")


if __name__ == "__main__":
    fuse_files(sys.argv[3:], sys.argv[1], int(sys.argv[2]))

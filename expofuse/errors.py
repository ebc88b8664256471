"""Defines the errors about picture files: why one is not read or not written.

::

    FusionError                         (model/errors.py)
    └── FileError                       code, message
        ├── MediaTypeError              not a JPEG, PNG, WebP or TIFF
        ├── PixelLimitError             more pixels, or a longer side, than the limit
        ├── MetadataLimitError          more beside the picture than any camera writes
        ├── ImageDecodeError            an image of a kind we take whose bytes are damaged
        ├── UnsupportedImageError       a sound image that has no single 8 or 16 bit RGB reading
        ├── OptionError                 an unknown option, or a value out of its range
        ├── EncodeError                 a file could not be written
        └── GroupsError                 what is to say which files form brackets says something else
"""

from model.errors import FusionError


class FileError(FusionError):
    """Base of the errors that belong to picture files rather than to pixels."""

    code = "file-error"


class MediaTypeError(FileError):
    """The first bytes are not those of a JPEG, PNG, WebP or TIFF."""

    code = "unsupported-media-type"


class PixelLimitError(FileError):
    """The image has more pixels, or a longer side, than the limit."""

    code = "too-many-pixels"


class MetadataLimitError(FileError):
    """The file holds more beside its picture than any camera or programme writes."""

    code = "metadata-too-large"


class ImageDecodeError(FileError):
    """The image is of a kind we take, but its picture data is missing, damaged or inserted.

    What every viewer shows is no damage: odd scan parameters, padding between segments, trailing
    data, a missing end mark after complete data, a damaged profile or text.
    """

    code = "image-damaged"


class UnsupportedImageError(FileError):
    """A sound image that is not read: animated, many pages, float, HDR, an unknown layout."""

    code = "unsupported-image"


class OptionError(FileError):
    """An unknown option, or a known one with a value that it does not take."""

    code = "bad-option"


class EncodeError(FileError):
    """The picture could not be written as a file."""

    code = "encode-failed"


class GroupsError(FileError):
    """A list of brackets is not of the form that is read, or names a file twice."""

    code = "bad-groups"

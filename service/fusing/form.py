"""The encoded exposures of one scene and their options, as a client sent them."""

from dataclasses import dataclass, field

from service.fusing.options import STACK_FIELD, FileField


@dataclass(slots=True)
class Form:
    """The parts of one body.

    Attributes:
        fields: The field of each encoded exposure: `under` and `over`, or `exposures` repeated.
        files: The encoded exposures, under before over, others as they were sent.
        options: Options given as fields, by name.
    """

    fields: list[FileField] = field(default_factory=list)
    files: list[bytearray] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_named_pair(self) -> bool:
        """The exposures came as `under` and `over`."""
        return STACK_FIELD not in self.fields

    def name_exposure(self, index: int) -> str:
        """What an exposure is called when a client is told about it."""
        if self.is_named_pair:
            return self.fields[index]
        return f"{STACK_FIELD}[{index + 1}] of {len(self.fields)}"

"""How much a device is given at once, by what its memory has borne. Pure."""

# A device that ran out of memory gets its whole share back after so many groups that went well.
GROUPS_TO_RECOVER = 64
LEAST_SHARE = 1 / 1024


class RowLimit:
    """A share of what the device could take: halved when it runs out of memory, grown back slowly."""

    def __init__(self) -> None:
        self.share = 1.0

    def of(self, most: int) -> int:
        """The share of `most`, at least 1."""
        return max(1, int(most * self.share))

    def halve(self) -> None:
        """The device ran out of memory."""
        self.share = max(LEAST_SHARE, self.share / 2)

    def grow(self) -> None:
        """A group went well."""
        self.share = min(1.0, self.share + 1 / GROUPS_TO_RECOVER)

"""To which sizes things are rounded up, so that a device sees few different shapes. Knows no tensors."""

from collections.abc import Iterator, Sequence

# Below 64 rows a step of a usual network takes as long as its weights take to read: few sizes are enough there.
FEW_SEGMENTS = (1, 8, 32)
MANY_SEGMENTS = 64
SHORTEST = 32
# Sources are encoded in lengths of a multiple of it.
SOURCE_MULTIPLE = 16


def segment_sizes(most: int) -> tuple[int, ...]:
    """The numbers of segments that a step may have: a few small ones, then doubling, up to `most`."""
    small = [size for size in FEW_SEGMENTS if size < most]
    return (*small, *doubling(MANY_SEGMENTS, most))


def doubling(first: int, last: int) -> tuple[int, ...]:
    """`first`, twice that, and so on, and at the end `last`."""
    sizes = []
    while first < last:
        sizes.append(first)
        first *= 2
    return (*sizes, last)


def fitting(sizes: Sequence[int], needed: int) -> int:
    """The smallest of ascending `sizes` that holds `needed`; the largest, if none does."""
    return next((size for size in sizes if size >= needed), sizes[-1])


def rounded_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return number + -number % multiple


def groups_by_length(lengths: Sequence[int], most: int) -> Iterator[tuple[int, list[int]]]:
    """Places of `lengths` that are encoded together: (the length they are padded to, up to `most` places).

    The length depends on a segment alone, not on its neighbours.
    """
    together: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        together.setdefault(rounded_up(length, SOURCE_MULTIPLE), []).append(place)
    for length, places in sorted(together.items()):
        for first in range(0, len(places), most):
            yield length, places[first : first + most]

"""Which regions of a picture are parts of one subject, and in which order subjects are read."""

from __future__ import annotations

from transformer.frames.subject.regions import Box

SPECK = 0.005
"""Share of the heaviest region's mass below which a region is dirt."""

GAP = 0.2
"""Share of a subject's longest side within which a part belongs to it."""

PART = 0.6
"""Share of a subject's longest side up to which a region is a part, wherever it is."""

TALLER = 1.75
"""Times the taller of two that a subject of both is at most: two lines are twice as tall."""

LEAST_SIDE, LEAST_MASS = 0.35, 0.08
"""Shares of the largest and of the heaviest that a subject has."""


def subjects_of(boxes: list[Box], masses: list[float]) -> list[list[int]]:
    """Numbers of the regions of each subject, in reading order.

    The top of a 5 that hangs apart is a part of it, however long it is; the next digit of a number
    is as tall, and stands beside it.
    """
    if not boxes:
        return []
    order = sorted(range(len(boxes)), key=lambda n: -masses[n])
    heaviest = masses[order[0]]
    groups: list[list[int]] = []
    for number in order:
        if masses[number] < SPECK * heaviest:
            break
        for group in groups:
            if _is_part(boxes[number], around([boxes[n] for n in group])):
                group.append(number)
                break
        else:
            groups.append([number])
    outlines = {id(group): around([boxes[n] for n in group]) for group in groups}
    largest = max(map(longest, outlines.values()))
    kept = [
        group
        for group in groups
        if longest(outlines[id(group)]) >= LEAST_SIDE * largest
        and sum(masses[n] for n in group) >= LEAST_MASS * heaviest
    ]
    return in_reading_order([(outlines[id(group)], group) for group in kept])


def in_reading_order(found: list[tuple[Box, list[int]]]) -> list[list[int]]:
    """Line by line from the top, each from the left; what overlaps by half in height is a line."""
    lines: list[list[tuple[Box, list[int]]]] = []
    for item in sorted(found, key=lambda item: item[0][1] + item[0][3]):
        for line in lines:
            if _beside(item[0], line[-1][0]):
                line.append(item)
                break
        else:
            lines.append([item])
    return [group for line in lines for _, group in sorted(line, key=lambda item: item[0][0])]


def around(boxes: list[Box]) -> Box:
    """The least box that holds all of them."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def longest(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _is_part(region: Box, whole: Box) -> bool:
    size = longest(whole)
    if _gap(whole, region) >= GAP * size:
        return False
    if longest(region) < PART * size:
        return True
    taller = max(_height(region), _height(whole))
    return not _beside(region, whole) and _height(around([whole, region])) <= TALLER * taller


def _beside(a: Box, b: Box) -> bool:
    """Whether they share half the height of the lower one, as what stands in a line does."""
    return 2 * (min(a[3], b[3]) - max(a[1], b[1])) > min(_height(a), _height(b))


def _height(box: Box) -> int:
    return box[3] - box[1]


def _gap(a: Box, b: Box) -> int:
    return max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3])

"""Which regions of a picture are parts of one subject, and in which order subjects are read."""

from __future__ import annotations

from transformer.frames.subject.regions import Box

SPECK = 0.005
"""Share of the heaviest region's mass below which a region is dirt."""

GAP = 0.2
"""Share of a subject's longest side within which a smaller part belongs to it."""

PART = 0.6
"""Share of a subject's longest side up to which a region is a part, not a neighbour."""

LEAST_SIDE, LEAST_MASS = 0.35, 0.08
"""Shares of the largest and of the heaviest that a subject has."""


def subjects_of(boxes: list[Box], masses: list[float]) -> list[list[int]]:
    """Numbers of the regions of each subject, in reading order.

    The top of a 5 that hangs apart is a part of it; the next digit of a number is as tall.
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
            whole = around([boxes[n] for n in group])
            size = longest(whole)
            near = _gap(whole, boxes[number]) < GAP * size
            if near and longest(boxes[number]) < PART * size:
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
        top, bottom = item[0][1], item[0][3]
        for line in lines:
            last = line[-1][0]
            shared = min(bottom, last[3]) - max(top, last[1])
            if 2 * shared > min(bottom - top, last[3] - last[1]):
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


def _gap(a: Box, b: Box) -> int:
    return max(b[0] - a[2], a[0] - b[2], b[1] - a[3], a[1] - b[3])

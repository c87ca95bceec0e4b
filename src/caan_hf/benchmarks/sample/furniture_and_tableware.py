"""Furniture and tableware. `descriptions.jsonl` says what each object looks like."""

import numpy as np

from .shapes import Drawing, arc, both, box, ellipse, mirrored, path, rounded, smooth, symmetric, trapezoid, turned


def table(d: Drawing) -> None:
    half, depth, height, leg = d.about(0.9), d.about(0.3), d.about(0.85), d.about(0.12)
    top = 0.9 - height
    d.surface("leg", [box(s * (half - 0.32), top, leg * 0.8, height * 0.7) for s in (-1, 1)], "dark")
    d.surface("leg", [box(s * (half - leg / 2), top, leg, height) for s in (-1, 1)], "second")
    d.surface("apron", box(0, top, 2 * half, 0.12), "second")
    d.surface("table top", path((-half + 0.2, top - depth), (half - 0.2, top - depth), (half, top), (-half, top)))


def chair(d: Drawing) -> None:
    half, back, leg = d.about(0.48), d.about(0.95), d.about(0.1)
    d.surface("leg", [box(s * half * 0.72, 0.1, leg * 0.8, 0.65) for s in (-1, 1)], "dark")
    d.surface("post", [box(s * half * 0.8, -back, leg, back + 0.05) for s in (-1, 1)], "second")
    for x in np.linspace(-half * 0.45, half * 0.45, 3):
        d.surface("slat", box(x, -back + 0.1, leg * 0.7, back - 0.1), "second", detail=True)
    d.surface("rail", rounded(0, -back - 0.05, half * 1.8, 0.2, 0.06), "second")
    d.surface("leg", [box(s * (half - leg / 2), 0.25, leg, 0.75) for s in (-1, 1)], "second")
    d.surface("seat", path((-half * 0.85, 0.0), (half * 0.85, 0.0), (half, 0.25), (-half, 0.25)))


def bed(d: Drawing) -> None:
    head, foot, mattress = d.about(0.8), d.about(0.45), d.about(0.26)
    top = 0.3 - mattress
    d.surface("leg", [box(x, 0.45, 0.12, 0.3) for x in (-0.9, 0.9)], "dark")
    d.surface("pillow", rounded(-0.66, 0.12 - mattress, 0.46, 0.26, 0.12), "light")
    d.surface("mattress", box(0, top, 1.85, mattress), "light")
    d.surface("frame", box(0, 0.3, 1.9, 0.2), "second")
    d.surface("blanket", path((-0.35, top), (0.92, top), (0.92, 0.45), (-0.2, 0.45)))
    d.surface("headboard", rounded(-0.97, 0.5 - head, 0.16, head, 0.06), "second")
    d.surface("footboard", rounded(0.97, 0.5 - foot, 0.16, foot, 0.06), "second")


def floor_lamp(d: Drawing) -> None:
    wide, height = d.about(0.85), d.about(0.58)
    bottom = -1.0 + height
    d.surface("pole", box(0, bottom, 0.08, 0.98 - bottom), "dark")
    d.surface("shade", trapezoid(0, -1.0, wide * d.about(0.5), wide, height))
    d.wire("pull cord", path((wide * 0.25, bottom), (wide * 0.25, bottom + 0.32)), 0.03, detail=True)
    d.surface("foot", arc(0, 1.0, d.about(0.38), 0.16, 180, 360), "second")


def television(d: Drawing) -> None:
    half, height = d.about(0.85, 0.12), d.about(1.05, 0.12)
    top = 0.75 - height
    d.wire("aerial", [path((0, top), (x, top - d.about(0.5))) for x in (-0.38, 0.38)], 0.04)
    d.surface("leg", [trapezoid(s * half * 0.65, 0.72, 0.16, 0.1, 0.26) for s in (-1, 1)], "dark")
    d.surface("case", rounded(0, top, 2 * half, height, 0.1))
    d.surface("screen", rounded(-half * 0.18, top + 0.12, half * 1.35, height - 0.24, 0.14), "light")
    d.surface("dial", [ellipse(half * 0.76, top + y, 0.1) for y in (0.28, 0.58)], "dark")


def alarm_clock(d: Drawing) -> None:
    radius, hour, centre = d.about(0.66, 0.08), d.rng.uniform(0, 360), (0, 0.1)
    minute = hour + d.rng.uniform(60, 300)
    foot = path((radius * 0.5, 0.55), (radius * 0.85, 0.95), (radius * 0.6, 0.95), (radius * 0.25, 0.65))
    d.surface("foot", both(foot), "dark")
    d.surface("bell", both(turned(arc(0, -radius - 0.02, 0.28, 0.26, 180, 360), 36, centre)), "second")
    d.surface("case", ellipse(0, 0.1, radius))
    d.surface("face", ellipse(0, 0.1, radius * 0.82), "light")
    for angle in range(0, 360, 90):
        tick = path((0, 0.1 - radius * 0.78), (0, 0.1 - radius * 0.66))
        d.wire("tick", turned(tick, angle, centre), 0.03, detail=True)
    d.wire("hand", turned(path(centre, (0, 0.1 - radius * 0.42)), hour, centre), 0.07)
    d.wire("hand", turned(path(centre, (0, 0.1 - radius * 0.6)), minute, centre), 0.05)


def ladder(d: Drawing) -> None:
    half, narrow, count = d.about(0.42), d.rng.uniform(0.7, 1.0), int(d.rng.integers(5, 8))
    tilt = d.rng.uniform(-12, 12)
    for y in np.linspace(-0.8, 0.8, count):
        width = half * (narrow + (1 - narrow) * (y + 1) / 2)
        d.surface("rung", turned(box(0, y, 2 * width + 0.06, 0.07), tilt), "second")
    rail = path((half * narrow, -1.0), (half * narrow + 0.1, -1.0), (half + 0.1, 1.0), (half, 1.0))
    d.surface("rail", [turned(rail, tilt), turned(mirrored(rail), tilt)])


def mug(d: Drawing) -> None:
    half, height, ear = d.about(0.55), d.about(1.15), d.about(0.36)
    top = -height / 2
    d.wire("handle", arc(half - 0.03, 0, ear, ear, -90, 90), 0.13, "main")
    d.surface("cup", np.concatenate([path((-half, top), (half, top)), arc(0, height / 2, half * 0.95, 0.14, 0, 180)]))
    d.surface("band", box(0, height * 0.15, half * 1.96, 0.16), "second", detail=True)
    d.surface("rim", ellipse(0, top, half, 0.15), "dark")


def teapot(d: Drawing) -> None:
    rx, ry, ear = d.about(0.58, 0.12), d.about(0.46, 0.12), d.about(0.28)
    above = [(rx + 0.28, -0.4), (rx + 0.1, -0.05), (rx * 0.7, -0.05)]
    d.wire("handle", arc(-rx + 0.05, 0.08, ear, ear * 1.1, 80, 280), 0.11, "main")
    d.surface("spout", smooth([(rx * 0.6, 0.35), (rx + 0.25, 0.1), (rx + 0.42, -0.38), *above]))
    d.surface("foot", box(0, 0.1 + ry * 0.85, rx * 1.1, 0.14), "second")
    d.surface("belly", ellipse(0, 0.1, rx, ry))
    d.surface("knob", ellipse(0, -ry - 0.17, 0.1), "second")
    d.surface("lid", arc(0, 0.12 - ry * 0.75, rx * 0.58, 0.28, 180, 360), "second")


def bottle(d: Drawing) -> None:
    half, neck, shoulder = d.about(0.34), d.about(0.13), d.rng.uniform(-0.3, 0.0)
    upper = (neck, -0.85), (neck, shoulder - 0.32), (half * 0.85, shoulder - 0.1)
    d.surface("body", symmetric(*upper, (half, shoulder + 0.05), (half, 1.0)))
    d.surface("cap", box(0, -1.0, neck * 2.4, 0.18), "dark")
    d.surface("label", box(0, 0.25, half * 2, d.about(0.42)), "light")


def wine_glass(d: Drawing) -> None:
    half, depth = d.about(0.42), d.about(0.85)
    cy = -1.0 + depth * 0.45
    bowl = [path((half * 0.85, -1.0)), arc(0, cy, half, depth * 0.55, 0, 180), path((-half * 0.85, -1.0))]
    d.surface("stem", box(0, -1.05 + depth, 0.08, 2.0 - depth), "light")
    d.surface("bowl", np.concatenate(bowl), "light")
    d.surface("wine", arc(0, cy, half * 0.93, depth * 0.5, 0, 180))
    d.surface("foot", ellipse(0, 0.95, half * 0.85, 0.1), "light")


def candle(d: Drawing) -> None:
    half, height = d.about(0.2), d.about(1.0)
    top = 0.7 - height
    d.wire("ring handle", arc(0.62, 0.72, 0.2, 0.18, -150, 150), 0.07, "second")
    d.surface("dish", trapezoid(0, 0.68, 1.3, 0.9, 0.22), "second")
    d.wire("wick", path((0, top), (0, top - 0.16)), 0.04)
    d.surface("flame", symmetric((0.01, top - 0.62), (0.15, top - 0.28), (0.08, top - 0.12), bend=True), "third")
    d.surface("wax stick", box(0, top, 2 * half, height + 0.04))
    d.surface("drip", rounded(half * 0.6, top, half * 0.6, height * 0.4, 0.1), detail=True)

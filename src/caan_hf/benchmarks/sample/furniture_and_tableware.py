"""Furniture and tableware: one function a category, returning its parts from back to front."""

from __future__ import annotations

import numpy as np

from caan_hf.benchmarks.sample.shapes import (
    Part,
    about,
    arc,
    box,
    ellipse,
    mirrored,
    path,
    rounded,
    smooth,
    surface,
    symmetric,
    trapezoid,
    turned,
    wire,
)

Rng = np.random.Generator


def table(rng: Rng) -> list[Part]:
    """A slanted top seen from the front on four legs."""
    half, depth, height, leg = about(rng, 0.9), about(rng, 0.3), about(rng, 0.85), about(rng, 0.12)
    top = 0.9 - height
    slab = path((-half + 0.2, top - depth), (half - 0.2, top - depth), (half, top), (-half, top))
    back = [(s * (half - 0.32), top, height * 0.7) for s in (-1, 1)]
    front = [(s * (half - leg / 2), top, height) for s in (-1, 1)]
    return [
        *(surface("leg", box(x, y, leg * 0.8, h), "dark") for x, y, h in back),
        *(surface("leg", box(x, y, leg, h), "second") for x, y, h in front),
        surface("apron", box(0, top, 2 * half, 0.12), "second"),
        surface("table top", slab, "main"),
    ]


def chair(rng: Rng) -> list[Part]:
    """A slatted back rising behind a seat on four legs."""
    half, back, leg = about(rng, 0.48), about(rng, 0.95), about(rng, 0.1)
    seat = path((-half * 0.85, 0.0), (half * 0.85, 0.0), (half, 0.25), (-half, 0.25))
    slats = np.linspace(-half * 0.45, half * 0.45, 3)
    return [
        *(surface("leg", box(s * half * 0.72, 0.1, leg * 0.8, 0.65), "dark") for s in (-1, 1)),
        *(surface("post", box(s * half * 0.8, -back, leg, back + 0.05), "second") for s in (-1, 1)),
        *(surface("slat", box(x, -back + 0.1, leg * 0.7, back - 0.1), "second", detail=True) for x in slats),
        surface("rail", rounded(0, -back - 0.05, half * 1.8, 0.2, 0.06), "second"),
        *(surface("leg", box(s * (half - leg / 2), 0.25, leg, 0.75), "second") for s in (-1, 1)),
        surface("seat", seat, "main"),
    ]


def bed(rng: Rng) -> list[Part]:
    """A tall headboard, a pillow, a blanket over the mattress and short legs, from the side."""
    head, foot, mattress = about(rng, 0.8), about(rng, 0.45), about(rng, 0.26)
    blanket = path((-0.35, 0.3 - mattress), (0.92, 0.3 - mattress), (0.92, 0.45), (-0.2, 0.45))
    return [
        *(surface("leg", box(x, 0.45, 0.12, 0.3), "dark") for x in (-0.9, 0.9)),
        surface("pillow", rounded(-0.66, 0.12 - mattress, 0.46, 0.26, 0.12), "light"),
        surface("mattress", box(0, 0.3 - mattress, 1.85, mattress), "light"),
        surface("frame", box(0, 0.3, 1.9, 0.2), "second"),
        surface("blanket", blanket, "main"),
        surface("headboard", rounded(-0.97, 0.5 - head, 0.16, head, 0.06), "second"),
        surface("footboard", rounded(0.97, 0.5 - foot, 0.16, foot, 0.06), "second"),
    ]


def floor_lamp(rng: Rng) -> list[Part]:
    """A wide shade on a long pole with a round foot."""
    wide, height = about(rng, 0.85), about(rng, 0.58)
    bottom = -1.0 + height
    return [
        surface("pole", box(0, bottom, 0.08, 0.98 - bottom), "dark"),
        surface("shade", trapezoid(0, -1.0, wide * about(rng, 0.5), wide, height), "main"),
        wire("pull cord", path((wide * 0.25, bottom), (wide * 0.25, bottom + 0.32)), 0.03, detail=True),
        surface("foot", arc(0, 1.0, about(rng, 0.38), 0.16, 180, 360), "second"),
    ]


def television(rng: Rng) -> list[Part]:
    """A box with a screen, two dials, a forked aerial and short legs."""
    half, height = about(rng, 0.85, 0.12), about(rng, 1.05, 0.12)
    top = 0.75 - height
    screen = rounded(-half * 0.18, top + 0.12, half * 1.35, height - 0.24, 0.14)
    return [
        *(wire("aerial", path((0, top), (x, top - about(rng, 0.5))), 0.04) for x in (-0.38, 0.38)),
        *(surface("leg", trapezoid(s * half * 0.65, 0.72, 0.16, 0.1, 0.26), "dark") for s in (-1, 1)),
        surface("case", rounded(0, top, 2 * half, height, 0.1), "main"),
        surface("screen", screen, "light"),
        *(surface("dial", ellipse(half * 0.76, top + y, 0.1), "dark") for y in (0.28, 0.58)),
    ]


def alarm_clock(rng: Rng) -> list[Part]:
    """A round face with two hands, two bells on top and two short feet."""
    radius, hour = about(rng, 0.66, 0.08), rng.uniform(0, 360)
    minute = hour + rng.uniform(60, 300)
    ticks = [turned(path((0, 0.1 - radius * 0.78), (0, 0.1 - radius * 0.66)), a, (0, 0.1)) for a in range(0, 360, 90)]
    bell = turned(arc(0, -radius - 0.02, 0.28, 0.26, 180, 360), 36, (0, 0.1))
    foot = path((radius * 0.5, 0.55), (radius * 0.85, 0.95), (radius * 0.6, 0.95), (radius * 0.25, 0.65))
    sides = (lambda p: p, mirrored)
    return [
        *(surface("foot", side(foot), "dark") for side in sides),
        *(surface("bell", side(bell), "second") for side in sides),
        surface("case", ellipse(0, 0.1, radius), "main"),
        surface("face", ellipse(0, 0.1, radius * 0.82), "light"),
        *(wire("tick", tick, 0.03, detail=True) for tick in ticks),
        wire("hand", turned(path((0, 0.1), (0, 0.1 - radius * 0.42)), hour, (0, 0.1)), 0.07),
        wire("hand", turned(path((0, 0.1), (0, 0.1 - radius * 0.6)), minute, (0, 0.1)), 0.05),
    ]


def ladder(rng: Rng) -> list[Part]:
    """Two long rails joined by rungs."""
    half, narrow, count = about(rng, 0.42), rng.uniform(0.7, 1.0), int(rng.integers(5, 8))
    tilt = rng.uniform(-12, 12)
    rungs = [(y, half * (narrow + (1 - narrow) * (y + 1) / 2)) for y in np.linspace(-0.8, 0.8, count)]
    rail = path((half * narrow, -1.0), (half * narrow + 0.1, -1.0), (half + 0.1, 1.0), (half, 1.0))
    return [
        *(surface("rung", turned(box(0, y, 2 * w + 0.06, 0.07), tilt), "second") for y, w in rungs),
        surface("rail", turned(rail, tilt), "main"),
        surface("rail", turned(mirrored(rail), tilt), "main"),
    ]


def mug(rng: Rng) -> list[Part]:
    """A straight cup with an oval rim and a round handle at the side."""
    half, height, ear = about(rng, 0.55), about(rng, 1.15), about(rng, 0.36)
    top = -height / 2
    body = np.concatenate([path((-half, top), (half, top)), arc(0, height / 2, half * 0.95, 0.14, 0, 180)])
    return [
        wire("handle", arc(half - 0.03, 0, ear, ear, -90, 90), 0.13, "main"),
        surface("cup", body, "main"),
        surface("band", box(0, height * 0.15, half * 1.96, 0.16), "second", detail=True),
        surface("rim", ellipse(0, top, half, 0.15), "dark"),
    ]


def teapot(rng: Rng) -> list[Part]:
    """A round belly with a spout in front, a handle behind and a lid with a knob."""
    rx, ry, ear = about(rng, 0.58, 0.12), about(rng, 0.46, 0.12), about(rng, 0.28)
    spout = smooth(
        [
            (rx * 0.6, 0.35),
            (rx + 0.25, 0.1),
            (rx + 0.42, -0.38),
            (rx + 0.28, -0.4),
            (rx + 0.1, -0.05),
            (rx * 0.7, -0.05),
        ]
    )
    return [
        wire("handle", arc(-rx + 0.05, 0.08, ear, ear * 1.1, 80, 280), 0.11, "main"),
        surface("spout", spout, "main"),
        surface("foot", box(0, 0.1 + ry * 0.85, rx * 1.1, 0.14), "second"),
        surface("belly", ellipse(0, 0.1, rx, ry), "main"),
        surface("knob", ellipse(0, -ry - 0.17, 0.1), "second"),
        surface("lid", arc(0, 0.12 - ry * 0.75, rx * 0.58, 0.28, 180, 360), "second"),
    ]


def bottle(rng: Rng) -> list[Part]:
    """A cylinder that narrows to a neck with a cap and carries a label."""
    half, neck, shoulder = about(rng, 0.34), about(rng, 0.13), rng.uniform(-0.3, 0.0)
    body = symmetric(
        (neck, -0.85), (neck, shoulder - 0.32), (half * 0.85, shoulder - 0.1), (half, shoulder + 0.05), (half, 1.0)
    )
    return [
        surface("body", body, "main"),
        surface("cap", box(0, -1.0, neck * 2.4, 0.18), "dark"),
        surface("label", box(0, 0.25, half * 2, about(rng, 0.42)), "light"),
    ]


def wine_glass(rng: Rng) -> list[Part]:
    """A bowl on a thin stem with a flat foot."""
    half, depth = about(rng, 0.42), about(rng, 0.85)
    bowl = np.concatenate(
        [path((half * 0.85, -1.0)), arc(0, -1.0 + depth * 0.45, half, depth * 0.55, 0, 180), path((-half * 0.85, -1.0))]
    )
    wine = arc(0, -1.0 + depth * 0.45, half * 0.93, depth * 0.5, 0, 180)
    return [
        surface("stem", box(0, -1.05 + depth, 0.08, 2.0 - depth), "light"),
        surface("bowl", bowl, "light"),
        surface("wine", wine, "main"),
        surface("foot", ellipse(0, 0.95, half * 0.85, 0.1), "light"),
    ]


def candle(rng: Rng) -> list[Part]:
    """A wax stick with a wick and a flame in a dish with a ring handle."""
    half, height = about(rng, 0.2), about(rng, 1.0)
    top = 0.7 - height
    flame = symmetric((0.01, top - 0.62), (0.15, top - 0.28), (0.08, top - 0.12), bend=True)
    return [
        wire("ring handle", arc(0.62, 0.72, 0.2, 0.18, -150, 150), 0.07, "second"),
        surface("dish", trapezoid(0, 0.68, 1.3, 0.9, 0.22), "second"),
        wire("wick", path((0, top), (0, top - 0.16)), 0.04),
        surface("flame", flame, "third"),
        surface("wax stick", box(0, top, 2 * half, height + 0.04), "main"),
        surface("drip", rounded(half * 0.6, top, half * 0.6, height * 0.4, 0.1), "main", detail=True),
    ]

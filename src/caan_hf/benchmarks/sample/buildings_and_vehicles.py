"""Buildings and vehicles: one function a category, returning its parts from back to front."""

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


def _wheel(cx: float, cy: float, radius: float) -> list[Part]:
    """A tyre with its hub."""
    return [
        surface("wheel", ellipse(cx, cy, radius), "dark"),
        surface("hub", ellipse(cx, cy, radius * 0.45), "light", detail=True),
    ]


def house(rng: Rng) -> list[Part]:
    """A box of walls under a pitched roof, with a door, windows and a chimney."""
    width, height, pitch = about(rng, 1.4), about(rng, 0.95), about(rng, 0.7)
    top, eave, window = 0.95 - height, width / 2 + 0.15, about(rng, 0.26)
    side = rng.choice([-1, 1])
    return [
        surface("chimney", box(-side * width * 0.3, top - pitch, 0.2, pitch * 0.8), "third"),
        surface("wall", box(0, top, width, height), "main"),
        surface("roof", path((-eave, top), (0, top - pitch), (eave, top)), "second"),
        surface("door", box(side * width * 0.22, 0.95 - height * 0.6, 0.28, height * 0.6), "third"),
        surface("window", box(-side * width * 0.22, top + height * 0.28, window, window), "light"),
        *_panes(-side * width * 0.22, top + height * 0.28, window),
    ]


def _panes(cx: float, top: float, size: float) -> list[Part]:
    """The crossed bars of a window."""
    middle, half = top + size / 2, size / 2
    return [
        wire("window bar", path((cx, top), (cx, top + size)), 0.03, detail=True),
        wire("window bar", path((cx - half, middle), (cx + half, middle)), 0.03, detail=True),
    ]


def castle(rng: Rng) -> list[Part]:
    """Two towers with battlements, a wall between them and an arched gate."""
    tower, height, wall = about(rng, 0.5), about(rng, 1.5, 0.12), about(rng, 0.8)

    def battlement(cx: float, top: float, width: float, teeth: int) -> np.ndarray:
        step = width / (2 * teeth - 1)
        left = cx - width / 2
        upper = [
            (left + i * step + dx, top if i % 2 == 0 else top + 0.14) for i in range(2 * teeth - 1) for dx in (0, step)
        ]
        return path(*upper, (cx + width / 2, 1.0), (left, 1.0))

    gate = np.concatenate([arc(0, 0.65, 0.24, 0.3, 180, 360), path((0.24, 1.0), (-0.24, 1.0))])
    return [
        surface("wall", battlement(0, 1.0 - wall, 1.3, 5), "second"),
        *(surface("tower", battlement(x, 1.0 - height, tower, 3), "main") for x in (-0.72, 0.72)),
        surface("gate", gate, "dark"),
        *(surface("window", box(x, 1.2 - height, 0.13, 0.28), "dark", detail=True) for x in (-0.72, 0.72)),
        wire("flagpole", path((-0.72, 1.0 - height), (-0.72, 0.55 - height)), 0.03, detail=True),
        surface(
            "flag", path((-0.72, 0.55 - height), (-0.35, 0.65 - height), (-0.72, 0.76 - height)), "third", detail=True
        ),
    ]


def lighthouse(rng: Rng) -> list[Part]:
    """A tapering striped tower with a lantern room, a gallery rail and a cone on top."""
    foot, head = about(rng, 0.72), about(rng, 0.4)
    at = lambda t: foot * t + head * (1 - t)  # noqa: E731
    stripe = [trapezoid(0, -0.45 + 1.4 * t, at(t), at(t + 0.17), 0.24) for t in (0.17, 0.55)]
    return [
        surface("tower", trapezoid(0, -0.45, head, foot, 1.4), "light"),
        *(surface("stripe", band, "main") for band in stripe),
        surface("door", box(0, 0.72, 0.18, 0.23), "dark", detail=True),
        surface("lantern room", box(0, -0.78, head * 0.7, 0.28), "third"),
        surface("gallery", box(0, -0.52, head * 1.5, 0.09), "dark"),
        surface("cone", path((-head * 0.5, -0.76), (0, -1.1), (head * 0.5, -0.76)), "main"),
    ]


def windmill(rng: Rng) -> list[Part]:
    """A tapering tower with a cap and four crossed blades."""
    foot, head, reach = about(rng, 0.85), about(rng, 0.45), about(rng, 0.75)
    spin, blade_width = rng.uniform(15, 75), about(rng, 0.2)
    blade = box(blade_width * 0.45, -0.35 - reach, blade_width, reach * 0.8)
    spar = path((0, -0.35), (0, -0.35 - reach))
    turns = [spin + 90 * i for i in range(4)]
    return [
        surface("tower", trapezoid(0, -0.3, head, foot, 1.3), "main"),
        surface("cap", arc(0, -0.28, head * 0.6, 0.32, 180, 360), "second"),
        surface("door", box(0, 0.65, 0.24, 0.35), "dark"),
        surface("window", box(0, 0.12, 0.16, 0.2), "dark", detail=True),
        *(surface("blade", turned(blade, a, (0, -0.35)), "light") for a in turns),
        *(wire("spar", turned(spar, a, (0, -0.35)), 0.05) for a in turns),
        surface("axle", ellipse(0, -0.35, 0.08), "dark", detail=True),
    ]


def tent(rng: Rng) -> list[Part]:
    """A ridge tent: a triangular front with an open flap, a slanted side and guy ropes."""
    half, height, depth = about(rng, 0.6), about(rng, 1.0), about(rng, 0.75)
    top = 0.6 - height
    return [
        wire("rope", path((-0.35, top), (-0.75 - half, 0.65)), 0.03),
        wire("rope", path((-0.35 + depth, top + 0.05), (0.35 + depth + half * 0.55, 0.6)), 0.03),
        surface(
            "side",
            path((-0.35, top), (-0.35 + depth, top + 0.05), (-0.3 + depth + half, 0.5), (-0.35 + half, 0.6)),
            "main",
        ),
        surface("front", path((-0.35, top), (-0.35 + half, 0.6), (-0.35 - half, 0.6)), "second"),
        surface(
            "flap", path((-0.35, top + height * 0.25), (-0.35 + half * 0.4, 0.6), (-0.35 - half * 0.35, 0.6)), "dark"
        ),
    ]


def car(rng: Rng) -> list[Part]:
    """A long body with a cabin of two windows on two wheels."""
    roof, nose, radius = about(rng, 0.42), about(rng, 0.3), about(rng, 0.21)
    body = rounded(0, 0.0, 2.0, 0.42, 0.12)
    left, right = -0.55, 0.45
    cabin = path((left - nose * 0.6, 0.02), (left + 0.1, -roof), (right - 0.1, -roof), (right + nose, 0.02))
    pane = roof - 0.08
    return [
        surface("cabin", cabin, "main"),
        surface("window", path((left - 0.05, 0.0), (left + 0.14, -pane), (-0.1, -pane), (-0.1, 0.0)), "light"),
        surface("window", path((0.0, 0.0), (0.0, -pane), (right - 0.14, -pane), (right + 0.12, 0.0)), "light"),
        surface("body", body, "main"),
        surface("headlight", ellipse(0.92, 0.14, 0.08), "light", detail=True),
        wire("door handle", path((-0.02, 0.12), (0.12, 0.12)), 0.03, detail=True),
        *_wheel(-0.55, 0.42, radius),
        *_wheel(0.55, 0.42, radius),
    ]


def train(rng: Rng) -> list[Part]:
    """A steam engine: boiler, funnel, cab with a window, cow-catcher and a row of wheels."""
    boiler, funnel, cab = about(rng, 0.5), about(rng, 0.4), about(rng, 0.95, 0.12)
    top = 0.5 - boiler
    return [
        surface("funnel", trapezoid(0.55, top - funnel, 0.34, 0.2, funnel), "dark"),
        surface("dome", arc(0.1, top, 0.15, 0.18, 180, 360), "second", detail=True),
        surface("boiler", rounded(0.2, top, 1.3, boiler, 0.1), "main"),
        surface("cab", box(-0.65, 0.5 - cab, 0.65, cab), "second"),
        surface("cab roof", box(-0.65, 0.42 - cab, 0.85, 0.1), "dark"),
        surface("window", box(-0.65, 0.62 - cab, 0.32, 0.28), "light"),
        surface("cow-catcher", path((0.85, 0.5), (1.15, 0.85), (0.75, 0.85)), "third"),
        *(p for x, r in ((-0.62, 0.28), (0.05, 0.2), (0.52, 0.2)) for p in _wheel(x, 0.85 - r + 0.1, r)),
    ]


def tractor(rng: Rng) -> list[Part]:
    """A big rear wheel, a small front wheel, a bonnet with an exhaust pipe and a glazed cab."""
    big, small, cab = about(rng, 0.48, 0.12), about(rng, 0.26, 0.12), about(rng, 0.75, 0.12)
    return [
        wire("exhaust pipe", path((0.6, -0.05), (0.6, -0.5)), 0.08),
        surface("cab", trapezoid(-0.35, 0.1 - cab, 0.65, 0.8, cab), "main"),
        surface("window", trapezoid(-0.35, 0.2 - cab, 0.48, 0.55, cab * 0.5), "light"),
        surface("cab roof", box(-0.35, 0.02 - cab, 0.85, 0.1), "second"),
        surface("bonnet", rounded(0.45, -0.05, 1.0, 0.5, 0.1), "main"),
        wire("grille", path((0.8, 0.05), (0.8, 0.35)), 0.04, detail=True),
        *_wheel(-0.45, 0.9 - big, big),
        *_wheel(0.68, 0.9 - small, small),
    ]


def bicycle(rng: Rng) -> list[Part]:
    """Two spoked wheels joined by a frame of tubes, with handlebars, a saddle and pedals."""
    radius = about(rng, 0.42, 0.1)
    rear, front, crank = (-0.6, 0.4), (0.62, 0.4), (-0.08, 0.42)
    seat, head = (-0.25, -0.28), (0.42, -0.3)
    wheels = [np.vstack([ellipse(x, y, radius), ellipse(x, y, radius)[:1]]) for x, y in (rear, front)]
    spokes = [
        turned(path((x - radius, y), (x + radius, y)), a, (x, y)) for x, y in (rear, front) for a in (20, 80, 140)
    ]
    tubes = [(rear, seat), (rear, crank), (crank, seat), (crank, head), (seat, head), (head, front)]
    return [
        *(wire("wheel", w, 0.08, "dark") for w in wheels),
        *(wire("spoke", s, 0.015, "light", detail=True) for s in spokes),
        *(wire("frame", path(a, b), 0.07, "main") for a, b in tubes),
        wire("handlebar", path(head, (0.36, -0.52), (0.2, -0.55)), 0.06),
        wire("seat post", path(seat, (-0.28, -0.42)), 0.06, "main"),
        surface("saddle", path((-0.45, -0.48), (-0.1, -0.46), (-0.15, -0.38), (-0.4, -0.38)), "dark"),
        wire("pedal", path((-0.12, 0.6), crank, (-0.04, 0.26)), 0.05, detail=True),
    ]


def airplane(rng: Rng) -> list[Part]:
    """A long fuselage with two swept wings and a tail, from above."""
    span, girth, sweep = about(rng, 0.9), about(rng, 0.15), rng.uniform(0.2, 0.5)
    fuselage = symmetric((girth * 0.5, -0.98), (girth, -0.7), (girth, 0.5), (girth * 0.4, 0.98), bend=True)
    wing = path((0, -0.25), (span, -0.25 + sweep), (span, -0.08 + sweep), (0, 0.2))
    tail = path((0, 0.7), (0.4, 0.85), (0.4, 0.98), (0, 0.92))
    sides = (lambda p: p, mirrored)
    return [
        *(surface("wing", side(wing), "second") for side in sides),
        *(surface("tail", side(tail), "second") for side in sides),
        *(
            surface("engine", side(rounded(span * 0.45, sweep * 0.45 - 0.3, 0.13, 0.28, 0.06)), "dark")
            for side in sides
        ),
        surface("fuselage", fuselage, "main"),
        surface("cockpit", ellipse(0, -0.75, girth * 0.6, 0.1), "dark", detail=True),
    ]


def sailboat(rng: Rng) -> list[Part]:
    """A hull with a mast that carries a tall and a short triangular sail."""
    top, boom = -about(rng, 1.0, 0.12), about(rng, 0.75)
    hull = path((-0.9, 0.55), (0.95, 0.55), (0.65, 0.95), (-0.6, 0.95))
    return [
        wire("mast", path((0, 0.58), (0, top)), 0.06),
        surface("mainsail", path((0.06, top + 0.08), (boom * 0.6, -0.1), (boom, 0.4), (0.06, 0.4)), "light"),
        surface("jib", path((-0.06, top + 0.3), (-0.06, 0.4), (-boom * 0.8, 0.4)), "second"),
        surface("hull", hull, "main"),
        wire("plank line", path((-0.75, 0.72), (0.8, 0.72)), 0.04, "light", detail=True),
    ]


def rocket(rng: Rng) -> list[Part]:
    """A pointed tube with a round window, side fins and a flame below."""
    half, fin, nose = about(rng, 0.28), about(rng, 0.32), about(rng, 0.5)
    body = symmetric(
        (0.02, -1.0), (half * 0.75, -1.0 + nose * 0.5), (half, -1.0 + nose), (half, 0.2), (half * 0.75, 0.6)
    )
    wing = path((half * 0.9, 0.1), (half + fin, 0.55), (half + fin, 0.8), (half * 0.75, 0.6))
    flame = symmetric((half * 0.5, 0.55), (half * 0.65, 0.75), (half * 0.15, 1.1), bend=True)
    return [
        surface("flame", flame, "third"),
        *(surface("fin", side(wing), "second") for side in (lambda p: p, mirrored)),
        surface("body", body, "main"),
        wire("nose line", path((-half, -1.0 + nose), (half, -1.0 + nose)), 0.04, detail=True),
        surface("window", ellipse(0, -0.25, half * 0.55), "light"),
    ]


def hot_air_balloon(rng: Rng) -> list[Part]:
    """A big bulb with vertical bands, ropes and a small basket."""
    half, basket = about(rng, 0.72), about(rng, 0.3)
    bulb = smooth([(0, -1.0), (half * 0.7, -0.82), (half, -0.35), (half * 0.65, 0.15), (0.2, 0.48),
                   (-0.2, 0.48), (-half * 0.65, 0.15), (-half, -0.35), (-half * 0.7, -0.82)])  # fmt: skip
    band = smooth([(0, -1.0), (half * 0.38, -0.4), (0.1, 0.48), (-0.1, 0.48), (-half * 0.38, -0.4)])
    return [
        *(wire("rope", path((s * 0.18, 0.45), (s * basket * 0.48, 0.8)), 0.025) for s in (-1, 1)),
        surface("bulb", bulb, "main"),
        surface("band", band, "second"),
        surface("basket", trapezoid(0, 0.78, basket, basket * 0.85, 0.24), "third"),
    ]

"""Buildings and vehicles. `descriptions.jsonl` says what each object looks like."""

import numpy as np

from .shapes import Drawing, arc, both, box, ellipse, path, ring, rounded, smooth, symmetric, trapezoid, turned


def _wheel(d: Drawing, cx: float, cy: float, radius: float) -> None:
    d.surface("wheel", ellipse(cx, cy, radius), "dark")
    d.surface("hub", ellipse(cx, cy, radius * 0.45), "light", detail=True)


def house(d: Drawing) -> None:
    width, height, pitch = d.about(1.4), d.about(0.95), d.about(0.7)
    top, eave, pane = 0.95 - height, width / 2 + 0.15, d.about(0.26)
    side = d.rng.choice([-1, 1])
    d.surface("chimney", box(-side * width * 0.3, top - pitch, 0.2, pitch * 0.8), "third")
    d.surface("wall", box(0, top, width, height))
    d.surface("roof", path((-eave, top), (0, top - pitch), (eave, top)), "second")
    d.surface("door", box(side * width * 0.22, 0.95 - height * 0.6, 0.28, height * 0.6), "third")
    cx, upper = -side * width * 0.22, top + height * 0.28
    d.surface("window", box(cx, upper, pane, pane), "light")
    middle, half = upper + pane / 2, pane / 2
    d.wire("window bar", path((cx, upper), (cx, upper + pane)), 0.03, detail=True)
    d.wire("window bar", path((cx - half, middle), (cx + half, middle)), 0.03, detail=True)


def castle(d: Drawing) -> None:
    tower, height, wall = d.about(0.5), d.about(1.5, 0.12), d.about(0.8)

    def battlement(cx: float, top: float, width: float, teeth: int) -> np.ndarray:
        step, left = width / (2 * teeth - 1), cx - width / 2
        upper = [
            (left + i * step + dx, top if i % 2 == 0 else top + 0.14) for i in range(2 * teeth - 1) for dx in (0, step)
        ]
        return path(*upper, (cx + width / 2, 1.0), (left, 1.0))

    d.surface("wall", battlement(0, 1.0 - wall, 1.3, 5), "second")
    d.surface("tower", [battlement(x, 1.0 - height, tower, 3) for x in (-0.72, 0.72)])
    d.surface("gate", np.concatenate([arc(0, 0.65, 0.24, 0.3, 180, 360), path((0.24, 1.0), (-0.24, 1.0))]), "dark")
    d.surface("window", [box(x, 1.2 - height, 0.13, 0.28) for x in (-0.72, 0.72)], "dark", detail=True)
    d.wire("flagpole", path((-0.72, 1.0 - height), (-0.72, 0.55 - height)), 0.03, detail=True)
    flag = path((-0.72, 0.55 - height), (-0.35, 0.65 - height), (-0.72, 0.76 - height))
    d.surface("flag", flag, "third", detail=True)


def lighthouse(d: Drawing) -> None:
    foot, head = d.about(0.72), d.about(0.4)
    d.surface("tower", trapezoid(0, -0.45, head, foot, 1.4), "light")
    for t in (0.17, 0.55):
        above, below = (foot * u + head * (1 - u) for u in (t, t + 0.17))
        d.surface("stripe", trapezoid(0, -0.45 + 1.4 * t, above, below, 0.24))
    d.surface("door", box(0, 0.72, 0.18, 0.23), "dark", detail=True)
    d.surface("lantern room", box(0, -0.78, head * 0.7, 0.28), "third")
    d.surface("gallery", box(0, -0.52, head * 1.5, 0.09), "dark")
    d.surface("cone", path((-head * 0.5, -0.76), (0, -1.1), (head * 0.5, -0.76)))


def windmill(d: Drawing) -> None:
    foot, head, reach = d.about(0.85), d.about(0.45), d.about(0.75)
    spin, width, hub = d.rng.uniform(15, 75), d.about(0.2), (0, -0.35)
    blade = box(width * 0.45, -0.35 - reach, width, reach * 0.8)
    turns = [spin + 90 * i for i in range(4)]
    d.surface("tower", trapezoid(0, -0.3, head, foot, 1.3))
    d.surface("cap", arc(0, -0.28, head * 0.6, 0.32, 180, 360), "second")
    d.surface("door", box(0, 0.65, 0.24, 0.35), "dark")
    d.surface("window", box(0, 0.12, 0.16, 0.2), "dark", detail=True)
    d.surface("blade", [turned(blade, turn, hub) for turn in turns], "light")
    d.wire("spar", [turned(path((0, -0.35), (0, -0.35 - reach)), turn, hub) for turn in turns], 0.05)
    d.surface("axle", ellipse(0, -0.35, 0.08), "dark", detail=True)


def tent(d: Drawing) -> None:
    half, height, depth = d.about(0.6), d.about(1.0), d.about(0.75)
    top = 0.6 - height
    d.wire("rope", path((-0.35, top), (-0.75 - half, 0.65)), 0.03)
    d.wire("rope", path((-0.35 + depth, top + 0.05), (0.35 + depth + half * 0.55, 0.6)), 0.03)
    d.surface("side", path((-0.35, top), (-0.35 + depth, top + 0.05), (-0.3 + depth + half, 0.5), (-0.35 + half, 0.6)))
    d.surface("front", path((-0.35, top), (-0.35 + half, 0.6), (-0.35 - half, 0.6)), "second")
    d.surface("flap", path((-0.35, top + height * 0.25), (-0.35 + half * 0.4, 0.6), (-0.35 - half * 0.35, 0.6)), "dark")


def car(d: Drawing) -> None:
    roof, nose, radius = d.about(0.42), d.about(0.3), d.about(0.21)
    left, right, pane = -0.55, 0.45, roof - 0.08
    d.surface("cabin", path((left - nose * 0.6, 0.02), (left + 0.1, -roof), (right - 0.1, -roof), (right + nose, 0.02)))
    d.surface("window", path((left - 0.05, 0.0), (left + 0.14, -pane), (-0.1, -pane), (-0.1, 0.0)), "light")
    d.surface("window", path((0.0, 0.0), (0.0, -pane), (right - 0.14, -pane), (right + 0.12, 0.0)), "light")
    d.surface("body", rounded(0, 0.0, 2.0, 0.42, 0.12))
    d.surface("headlight", ellipse(0.92, 0.14, 0.08), "light", detail=True)
    d.wire("door handle", path((-0.02, 0.12), (0.12, 0.12)), 0.03, detail=True)
    _wheel(d, -0.55, 0.42, radius)
    _wheel(d, 0.55, 0.42, radius)


def train(d: Drawing) -> None:
    boiler, funnel, cab = d.about(0.5), d.about(0.4), d.about(0.95, 0.12)
    top = 0.5 - boiler
    d.surface("funnel", trapezoid(0.55, top - funnel, 0.34, 0.2, funnel), "dark")
    d.surface("dome", arc(0.1, top, 0.15, 0.18, 180, 360), "second", detail=True)
    d.surface("boiler", rounded(0.2, top, 1.3, boiler, 0.1))
    d.surface("cab", box(-0.65, 0.5 - cab, 0.65, cab), "second")
    d.surface("cab roof", box(-0.65, 0.42 - cab, 0.85, 0.1), "dark")
    d.surface("window", box(-0.65, 0.62 - cab, 0.32, 0.28), "light")
    d.surface("cow-catcher", path((0.85, 0.5), (1.15, 0.85), (0.75, 0.85)), "third")
    for x, radius in ((-0.62, 0.28), (0.05, 0.2), (0.52, 0.2)):
        _wheel(d, x, 0.85 - radius + 0.1, radius)


def tractor(d: Drawing) -> None:
    big, small, cab = d.about(0.48, 0.12), d.about(0.26, 0.12), d.about(0.75, 0.12)
    d.wire("exhaust pipe", path((0.6, -0.05), (0.6, -0.5)), 0.08)
    d.surface("cab", trapezoid(-0.35, 0.1 - cab, 0.65, 0.8, cab))
    d.surface("window", trapezoid(-0.35, 0.2 - cab, 0.48, 0.55, cab * 0.5), "light")
    d.surface("cab roof", box(-0.35, 0.02 - cab, 0.85, 0.1), "second")
    d.surface("bonnet", rounded(0.45, -0.05, 1.0, 0.5, 0.1))
    d.wire("grille", path((0.8, 0.05), (0.8, 0.35)), 0.04, detail=True)
    _wheel(d, -0.45, 0.9 - big, big)
    _wheel(d, 0.68, 0.9 - small, small)


def bicycle(d: Drawing) -> None:
    radius = d.about(0.42, 0.1)
    rear, front, crank = (-0.6, 0.4), (0.62, 0.4), (-0.08, 0.42)
    seat, head = (-0.25, -0.28), (0.42, -0.3)
    d.wire("wheel", [ring(x, y, radius) for x, y in (rear, front)], 0.08, "dark")
    for x, y in (rear, front):
        for angle in (20, 80, 140):
            spoke = turned(path((x - radius, y), (x + radius, y)), angle, (x, y))
            d.wire("spoke", spoke, 0.015, "light", detail=True)
    for start, end in ((rear, seat), (rear, crank), (crank, seat), (crank, head), (seat, head), (head, front)):
        d.wire("frame", path(start, end), 0.07, "main")
    d.wire("handlebar", path(head, (0.36, -0.52), (0.2, -0.55)), 0.06)
    d.wire("seat post", path(seat, (-0.28, -0.42)), 0.06, "main")
    d.surface("saddle", path((-0.45, -0.48), (-0.1, -0.46), (-0.15, -0.38), (-0.4, -0.38)), "dark")
    d.wire("pedal", path((-0.12, 0.6), crank, (-0.04, 0.26)), 0.05, detail=True)


def airplane(d: Drawing) -> None:
    span, girth, sweep = d.about(0.9), d.about(0.15), d.rng.uniform(0.2, 0.5)
    d.surface("wing", both(path((0, -0.25), (span, -0.25 + sweep), (span, -0.08 + sweep), (0, 0.2))), "second")
    d.surface("tail", both(path((0, 0.7), (0.4, 0.85), (0.4, 0.98), (0, 0.92))), "second")
    d.surface("engine", both(rounded(span * 0.45, sweep * 0.45 - 0.3, 0.13, 0.28, 0.06)), "dark")
    d.surface("fuselage", symmetric((girth * 0.5, -0.98), (girth, -0.7), (girth, 0.5), (girth * 0.4, 0.98), bend=True))
    d.surface("cockpit", ellipse(0, -0.75, girth * 0.6, 0.1), "dark", detail=True)


def sailboat(d: Drawing) -> None:
    top, boom = -d.about(1.0, 0.12), d.about(0.75)
    d.wire("mast", path((0, 0.58), (0, top)), 0.06)
    d.surface("mainsail", path((0.06, top + 0.08), (boom * 0.6, -0.1), (boom, 0.4), (0.06, 0.4)), "light")
    d.surface("jib", path((-0.06, top + 0.3), (-0.06, 0.4), (-boom * 0.8, 0.4)), "second")
    d.surface("hull", path((-0.9, 0.55), (0.95, 0.55), (0.65, 0.95), (-0.6, 0.95)))
    d.wire("plank line", path((-0.75, 0.72), (0.8, 0.72)), 0.04, "light", detail=True)


def rocket(d: Drawing) -> None:
    half, fin, nose = d.about(0.28), d.about(0.32), d.about(0.5)
    shoulder = -1.0 + nose
    d.surface("flame", symmetric((half * 0.5, 0.55), (half * 0.65, 0.75), (half * 0.15, 1.1), bend=True), "third")
    d.surface("fin", both(path((half * 0.9, 0.1), (half + fin, 0.55), (half + fin, 0.8), (half * 0.75, 0.6))), "second")
    flank = (half * 0.75, -1.0 + nose * 0.5), (half, shoulder), (half, 0.2), (half * 0.75, 0.6)
    d.surface("body", symmetric((0.02, -1.0), *flank))
    d.wire("nose line", path((-half, shoulder), (half, shoulder)), 0.04, detail=True)
    d.surface("window", ellipse(0, -0.25, half * 0.55), "light")


def hot_air_balloon(d: Drawing) -> None:
    half, basket = d.about(0.72), d.about(0.3)
    right = [(half * 0.7, -0.82), (half, -0.35), (half * 0.65, 0.15), (0.2, 0.48)]
    band = [(0, -1.0), (half * 0.38, -0.4), (0.1, 0.48), (-0.1, 0.48), (-half * 0.38, -0.4)]
    d.wire("rope", [path((s * 0.18, 0.45), (s * basket * 0.48, 0.8)) for s in (-1, 1)], 0.025)
    d.surface("bulb", smooth([(0, -1.0), *right, *((-x, y) for x, y in reversed(right))]))
    d.surface("band", smooth(band), "second")
    d.surface("basket", trapezoid(0, 0.78, basket, basket * 0.85, 0.24), "third")

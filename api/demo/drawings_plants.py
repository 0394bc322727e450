"""Drawings of what grows and what helps it to: every kind of product under Garden/Plants."""

from __future__ import annotations

from api.demo.canvas import CREAM, LEAF, SOIL, STEEL, WHITE, WOOD, Canvas, Look, darker, lighter
from api.demo.shapes import Point, Shape, arc, bezier, box, leaf, moved, oval, smooth, soft, turned

SLITS = (16, 23, 30, 37, 59, 66, 73, 80)
"""Which points of a leaf's outline are the slits that give the Swiss cheese plant its name."""


def plant_pot(canvas: Canvas, look: Look) -> None:
    """An empty pot; the style `footed` stands on wooden legs, any other is of clay with a saucer."""
    canvas.stand(392, 104)
    if look.style == "footed":
        for x, foot in ((168, 158), (312, 322)):
            canvas.line([(x, 330), (foot, 390)], 15, WOOD)
        _soil(canvas, look, 150, 118, darker(look.main, 0.5))
        wall = [*arc(240, 150, 118, 20, 180, 0), *_wall(150, 346, 118, 86)[1:]]
        canvas.fill(wall, look.main, "round", depth=1.15)
        for row in range(4):
            for column in range(-4, 5):
                x, y = 240 + column * 28 + (14 if row % 2 else 0), 208 + row * 34
                if abs(x - 240) < 102 - row * 6:
                    canvas.fill([(x, y - 11), (x + 9, y + 6), (x - 9, y + 6)], look.trim)
        return
    canvas.fill(box(128, 372, 352, 394, 9), darker(look.main, 0.16), "round")
    _soil(canvas, look, 150, 116, darker(look.main, 0.5))
    _pot(canvas, look, 150, 376, 116, 84)
    canvas.fill(box(120, 290, 360, 312), look.trim, "round", inside=_wall(150, 376, 116, 84))


def monstera(canvas: Canvas, look: Look) -> None:
    """A Swiss cheese plant with slit leaves."""
    canvas.stand(404, 76)
    _soil(canvas, look, 298, 78)
    places = (
        (150, 150, -38, 66),
        (330, 138, 34, 70),
        (238, 96, -4, 68),
        (118, 238, -68, 52),
        (362, 232, 66, 54),
        (214, 196, -20, 58),
        (292, 216, 26, 54),
    )
    for x, y, _, _ in places:
        canvas.line(bezier((240, 302), (240, 250), ((x + 240) / 2, y + 60), (x, y + 18)), 6, darker(LEAF, 0.3))
    for place, (x, y, turn, size) in enumerate(places):
        _monstera_leaf(canvas, (x, y), turn, size, (darker(LEAF, 0.18), LEAF, lighter(LEAF, 0.12))[place % 3])
    _pot(canvas, look, 298, 404, 78, 60)


def snake_plant(canvas: Canvas, look: Look) -> None:
    """Upright sword leaves with yellow edges."""
    canvas.stand(404, 76)
    _soil(canvas, look, 298, 80)
    blades = (
        (186, 120, -24),
        (294, 104, 22),
        (240, 62, 2),
        (158, 190, -38),
        (326, 186, 38),
        (214, 150, -8),
        (270, 166, 12),
    )
    for place, (x, y, sway) in enumerate(blades):
        foot = (240 + (x - 240) * 0.34, 306)
        canvas.fill(leaf(foot, (x, y), 54, sway * 0.5), "#d9cf7a")
        inner = leaf(foot, (x, y + 12), 38, sway * 0.5)
        canvas.fill(inner, (darker(LEAF, 0.3), darker(LEAF, 0.12))[place % 2], "round")
        for step in range(2, 9):
            t = step / 10
            cx, cy = foot[0] + (x - foot[0]) * t, foot[1] + (y - foot[1]) * t
            band = smooth([(cx - 26, cy + 6), (cx, cy - 4), (cx + 26, cy + 5)], closed=False)
            canvas.line(band, 4, lighter(LEAF, 0.35), inside=inner, alpha=0.5)
    _pot(canvas, look, 298, 404, 80, 62)


def cactus(canvas: Canvas, look: Look) -> None:
    """A cactus; the style `ball` is round and in flower, any other has two arms."""
    canvas.stand(396, 78)
    _soil(canvas, look, 290, 82)
    if look.style == "ball":
        body = oval(240, 218, 104, 106)
        canvas.fill(body, LEAF, "ball", depth=1.2)
        for bow in (-92, -58, -24, 24, 58, 92):
            rib = bezier((240, 110), (240 + bow * 1.25, 150), (240 + bow * 1.25, 280), (240, 330))
            canvas.line(rib, 3, darker(LEAF, 0.3), inside=body, alpha=0.6)
            for step in range(3, 24, 3):
                x, y = rib[step]
                for lean in (-6, 6):
                    canvas.line([(x, y), (x + lean, y - 7)], 1.8, CREAM)
        for turn in (-60, -30, 0, 30, 60):
            petal = turned(leaf((240, 124), (240, 64), 32), turn, (240, 124))
            canvas.fill(petal, look.accent if turn % 60 else lighter(look.accent, 0.2), "down")
        canvas.fill(oval(240, 112, 12), "#f7d35f", "ball")
    else:
        for arm in (((240, 246), (152, 246), (152, 160)), ((240, 210), (326, 210), (326, 120))):
            canvas.line(soft(arm, [0, 40, 0]), 46, darker(LEAF, 0.1))
            canvas.line(moved(soft(arm, [0, 40, 0]), -6, -2), 12, lighter(LEAF, 0.15), alpha=0.5)
        body = box(202, 66, 278, 320, 38)
        canvas.fill(body, LEAF, "round", depth=1.2)
        for x in (222, 240, 258):
            canvas.line([(x, 92), (x, 310)], 2.6, darker(LEAF, 0.28), inside=body, alpha=0.6)
            for y in range(100, 300, 22):
                canvas.line([(x - 5, y + x % 9), (x + 5, y + 4 + x % 9)], 1.8, CREAM)
        for x, y in ((240, 66), (152, 138), (326, 98)):
            for turn in (-45, 0, 45):
                canvas.fill(turned(leaf((x, y + 6), (x, y - 22), 15), turn, (x, y + 6)), look.accent)
    _pot(canvas, look, 290, 396, 82, 62)


def olive_tree(canvas: Canvas, look: Look) -> None:
    """A small olive tree, a round crown on a bare trunk."""
    canvas.stand(410, 76)
    _soil(canvas, look, 306, 78)
    trunk = bezier((240, 312), (228, 270), (252, 240), (240, 176))
    canvas.line(trunk, 14, "#8b6b4e")
    for end in ((190, 160), (292, 152)):
        canvas.line(bezier((240, 230), (238, 200), end, end), 7, "#8b6b4e")
    canvas.fill(oval(240, 146, 104, 92), darker(LEAF, 0.28), "ball", depth=0.8, alpha=0.9)
    for place in range(150):
        # The golden angle spreads the leaves evenly over the crown.
        radius = (place / 150) ** 0.5
        x, y = turned([(112 * radius, 0)], place * 137.5, (0, 0))[0]
        x, y = 240 + x, 146 + y * 0.88
        tip = turned([(x, y - 27)], (place * 71) % 120 - 60, (x, y))[0]
        tone = mix_leaf(place)
        canvas.fill(leaf((x, y), tip, 11), tone)
    for place in range(9):
        x, y = turned([(240 + 34 + (place * 29) % 50, 150)], place * 137.5 + 20, (240, 150))[0]
        canvas.fill(oval(x, y, 6, 8), "#5b4a5f", "ball")
    _pot(canvas, look, 306, 410, 78, 62)


def mix_leaf(place: int) -> str:
    """One of four silvery greens, in turn."""
    silver = "#8fa98b"
    return (silver, darker(silver, 0.25), lighter(silver, 0.22), "#6f9672")[place % 4]


def trailing_plant(canvas: Canvas, look: Look) -> None:
    """A pot in a rope hanger, its shoots hanging down."""
    for x in (158, 240, 322):
        canvas.line([(240, 10), (x, 210)], 4, "#c9ab7c")
    canvas.line(oval(240, 18, 11), 5, "#c9ab7c")
    _soil(canvas, look, 206, 88)
    for place, (lean, low) in enumerate(
        ((-96, 372), (-58, 442), (58, 424), (98, 350), (0, 208), (-34, 214), (40, 210))
    ):
        rise = -46 if low > 300 else -70
        vine = bezier(
            (240 + lean * 0.5, 216), (240 + lean * 1.05, 210 + rise), (240 + lean * 1.28, 260), (240 + lean, low)
        )
        if low < 300:
            vine = bezier((240, 216), (240 + lean, 180), (240 + lean * 2, 150), (240 + lean * 2.4, 168))
        canvas.line(vine, 3.5, darker(LEAF, 0.25))
        for step in range(2, 25, 3):
            foot = vine[step]
            tip = (foot[0] + (27 if (step + place) % 2 else -27), foot[1] + 14)
            green = (LEAF, lighter(LEAF, 0.18), darker(LEAF, 0.14))[(step + place) % 3]
            canvas.fill(leaf(foot, tip, 21), green, "round")
    _pot(canvas, look, 206, 322, 88, 54)
    canvas.line(bezier((152, 222), (170, 330), (220, 352), (240, 360)), 4, "#c9ab7c")
    canvas.line(bezier((328, 222), (310, 330), (260, 352), (240, 360)), 4, "#c9ab7c")
    canvas.line([(240, 326), (240, 386)], 5, "#c9ab7c")
    for lean in (-8, 0, 8):
        canvas.line([(240, 372), (240 + lean, 410)], 4, "#dcc497")


def watering_can(canvas: Canvas, look: Look) -> None:
    """A watering can; the style `slim` has a long thin spout, any other a rose."""
    canvas.stand(384, 104, 264)
    if look.style == "slim":
        canvas.line(arc(346, 250, 62, 92, -90, 92), 13, look.trim)
        spout = bezier((206, 350), (110, 330), (150, 190), (60, 150))
        canvas.line(spout, 15, darker(look.main, 0.12))
        canvas.line(moved(spout, -3, -2), 5, lighter(look.main, 0.3), alpha=0.6)
        body = soft([(206, 158), (340, 158), (366, 384), (180, 384)], [16, 16, 30, 30])
    else:
        canvas.line(arc(278, 190, 78, 92, 194, 372), 15, look.trim)
        spout = [(196, 352), (176, 308), (88, 168), (66, 178), (150, 352)]
        canvas.fill(spout, darker(look.main, 0.12), "round")
        canvas.fill(turned(soft([(46, 146), (106, 146), (92, 176), (62, 176)], 4), -32, (76, 166)), look.trim, "round")
        canvas.fill(turned(oval(76, 146, 32, 8), -32, (76, 166)), lighter(look.trim, 0.25))
        body = soft([(186, 190), (364, 190), (368, 384), (182, 384)], [10, 10, 20, 20])
    canvas.fill(body, look.main, "round", depth=1.2)
    for y in (226, 352):
        canvas.fill(box(160, y, 380, y + 9), darker(look.main, 0.2), "round", inside=body)
    if look.style != "slim":
        canvas.fill([*arc(274, 192, 88, 26, 180, 275), (274, 192)], darker(look.main, 0.1))
    canvas.sheen(box(210, 246, 221, 336, 6), body, 0.4)
    for x, y in ((40, 196), (58, 218), (34, 238)) if look.style != "slim" else ((50, 178), (44, 210)):
        canvas.fill(smooth([(x, y - 11), (x + 6, y + 3), (x, y + 9), (x - 6, y + 3)]), "#7fb9d6")


def trowel(canvas: Canvas, look: Look) -> None:
    """A garden trowel and a small fork, crossed."""
    for degrees, tool in ((-38, "fork"), (38, "trowel")):

        def turn(shape: Shape, degrees: int = degrees) -> Shape:
            return turned(shape, degrees)

        canvas.fill(turn(box(222, 264, 258, 412, 17)), look.main if tool == "fork" else look.trim, "round")
        canvas.fill(turn(box(222, 384, 258, 392)), lighter(look.accent, 0.3))
        canvas.fill(turn(box(228, 252, 252, 276, 5)), "#8f989e", "round")
        canvas.line(turn([(240, 256), (240, 206)]), 10, STEEL)
        if tool == "fork":
            for x in (204, 240, 276):
                canvas.line(turn([(240, 206), (x, 180), (x, 74)]), 11, STEEL)
                canvas.line(turn([(x - 2, 176), (x - 2, 80)]), 3, WHITE, alpha=0.6)
        else:
            blade = turn(
                smooth([(240, 58), (272, 96), (286, 152), (276, 206), (240, 222), (204, 206), (194, 152), (208, 96)])
            )
            canvas.fill(blade, STEEL, "round", depth=1.3)
            canvas.line(turn([(240, 84), (240, 206)]), 4, darker(STEEL, 0.25), alpha=0.7)


def seed_packet(canvas: Canvas, look: Look) -> None:
    """Two paper bags of seed with a flower printed on each."""
    for turn, left, colour, bloom in ((-11, 96, look.trim, look.accent), (8, 206, look.main, "#f3c13f")):
        about: Point = (left + 90, 240)
        packet = turned(box(left, 96, left + 180, 392, 5), turn, about)
        canvas.shade(moved(packet, 6, 8), alpha=0.12)
        canvas.fill(packet, colour, "round", depth=0.7)
        canvas.fill(turned(box(left, 96, left + 180, 124), turn, about), darker(colour, 0.12), inside=packet)
        canvas.fill(turned(box(left + 18, 142, left + 162, 318, 10), turn, about), "#fbf6ea")
        stem = turned(bezier((left + 90, 312), (left + 84, 280), (left + 98, 250), (left + 90, 218)), turn, about)
        canvas.line(stem, 6, LEAF)
        for side in (-1, 1):
            canvas.fill(turned(leaf((left + 90, 300), (left + 90 + side * 40, 266), 20), turn, about), LEAF)
        centre = turned([(left + 90, 208)], turn, about)[0]
        for step in range(10):
            petal = leaf(centre, (centre[0], centre[1] - 46), 24)
            canvas.fill(turned(petal, step * 36, centre), bloom if step % 2 else lighter(bloom, 0.2))
        canvas.fill(oval(*centre, 17), "#6b4630", "ball")
        for y, reach in ((340, 60), (360, 40)):
            canvas.line(turned([(left + 90 - reach, y), (left + 90 + reach, y)], turn, about), 7, CREAM)


def _wall(top: float, bottom: float, wide: float, narrow: float) -> list[Point]:
    return soft([(240 - wide, top), (240 + wide, top), (240 + narrow, bottom), (240 - narrow, bottom)], [0, 0, 14, 14])


def _soil(canvas: Canvas, look: Look, top: float, wide: float, soil: str = SOIL) -> None:
    """The far rim of a pot and the soil in it, to be drawn before what grows there."""
    canvas.fill(oval(240, top, wide, wide * 0.17), lighter(look.main, 0.22))
    canvas.fill(oval(240, top + 3, wide - 9, wide * 0.12), soil, "down", depth=0.8)


def _pot(canvas: Canvas, look: Look, top: float, bottom: float, wide: float, narrow: float) -> None:
    """The near wall of a pot, with a broad rim."""
    wall = [*arc(240, top, wide, wide * 0.17, 180, 0), *_wall(top, bottom, wide, narrow)[1:]]
    canvas.fill(wall, look.main, "round", depth=1.15)
    foot = top + (bottom - top) * 0.3
    rim = [
        *arc(240, top, wide, wide * 0.17, 180, 0),
        (240 + wide + 1, foot),
        *arc(240, foot, wide + 1, wide * 0.16, 0, 180),
    ]
    canvas.shade(moved(rim, 0, 9), wall, 0.2)
    canvas.fill(rim, lighter(look.main, 0.07), "round", depth=1.15)
    left, low = 240 - wide * 0.66, 240 - narrow * 0.68
    gleam = smooth([(left, foot + 34), (left + 10, foot + 32), (low + 10, bottom - 18), (low, bottom - 20)])
    canvas.sheen(gleam, wall, 0.28)


def _monstera_leaf(canvas: Canvas, at: Point, turn: float, size: float, colour: str) -> None:
    x, y = at
    half = [(0.5, 0.72), (0.86, 0.2), (0.6, -0.5)]
    ring = [(0.0, 0.55), *half, (0.0, -1.0), *((-right, down) for right, down in reversed(half))]
    edge = smooth([(x + right * size, y + down * size) for right, down in ring])
    notched: Shape = []
    for place, point in enumerate(edge):
        # Every tenth point or so is pulled in to the midrib, and its neighbours dropped: the slits of the leaf.
        if place in SLITS:
            notched.append((x + (point[0] - x) * 0.4, point[1] + size * 0.16))
        elif place - 1 not in SLITS and place + 1 not in SLITS:
            notched.append(point)
    heart = turned(notched, turn, at)
    canvas.fill(heart, colour, "ball", depth=0.8)
    canvas.line(turned([(x, y + size * 0.6), (x, y - size * 0.86)], turn, at), 3, lighter(colour, 0.3))


DRAWINGS = {
    "plant_pot": plant_pot,
    "monstera": monstera,
    "snake_plant": snake_plant,
    "cactus": cactus,
    "olive_tree": olive_tree,
    "trailing_plant": trailing_plant,
    "watering_can": watering_can,
    "trowel": trowel,
    "seed_packet": seed_packet,
}

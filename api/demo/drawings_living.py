"""Drawings of what makes a room: every kind of product under Home/Living."""

from __future__ import annotations

import math

from api.demo.canvas import BRASS, CREAM, INK, LEAF, Canvas, Look, darker, lighter
from api.demo.shapes import arc, bezier, both, box, lathe, leaf, moved, oval, soft, turned


def armchair(canvas: Canvas, look: Look) -> None:
    """An armchair on four legs; the style `wing` has a high back, any other a rounded one."""
    canvas.stand(402, 128)
    for foot, knee in ((142, 156), (338, 324)):
        canvas.line([(knee, 350), (foot, 400)], 13, look.trim)
    if look.style == "wing":
        back = soft([(142, 86), (338, 86), (346, 330), (134, 330)], [48, 48, 0, 0])
    else:
        back = bezier((116, 330), (108, 60), (372, 60), (364, 330))
    canvas.fill(back, look.main, "round")
    top = 138 if look.style == "wing" else 168
    for x, y in ((196, top), (240, top), (284, top), (218, top + 26), (262, top + 26)):
        canvas.fill(oval(x, y, 4.5), darker(look.main, 0.3))
    canvas.shade(box(120, 246, 360, 280, 10), back, 0.16)
    cushion = box(140, 256, 340, 322, 26)
    canvas.fill(cushion, lighter(look.main, 0.14), "down")
    canvas.fill(soft([(120, 306), (360, 306), (352, 364), (128, 364)], 14), darker(look.main, 0.1), "round")
    for arm in both(box(84, 218, 148, 362, 30)):
        canvas.fill(arm, look.main, "round")
    canvas.sheen(box(98, 236, 110, 330, 6), alpha=0.2)


def stool(canvas: Canvas, look: Look) -> None:
    """A three-legged stool."""
    canvas.stand(398, 100)
    for top, foot, tone in ((240, 240, 0.3), (186, 148, 0.0), (294, 332, 0.12)):
        canvas.line([(top, 196), (foot, 394)], 17, darker(look.trim, tone))
    canvas.line([(169, 306), (311, 306)], 10, darker(look.trim, 0.2))
    canvas.fill(oval(240, 190, 114, 33), darker(look.main, 0.24), "round")
    canvas.fill(oval(240, 176, 114, 32), look.main, "round")
    canvas.fill(oval(240, 173, 100, 25), lighter(look.main, 0.14), "round", depth=0.6)
    for radius in (66, 36):
        canvas.line(oval(240, 173, radius, radius * 0.25), 2.2, darker(look.main, 0.25), alpha=0.5)


def side_table(canvas: Canvas, look: Look) -> None:
    """A round table with a cup and two books on it."""
    canvas.stand(404, 88)
    canvas.fill(lathe([(8, 236), (8, 386), (66, 392), (66, 404)]), look.trim, "round")
    canvas.fill(oval(240, 238, 136, 33), darker(look.main, 0.26), "round")
    canvas.fill(oval(240, 226, 136, 32), look.main, "round")
    for left, top, right, colour in ((140, 196, 256, "#b8563f"), (150, 174, 246, "#3f6c73")):
        canvas.fill(box(left, top, right, top + 23, 4), colour, "round")
        canvas.fill(box(right - 12, top + 4, right - 1, top + 19), CREAM)
    canvas.line(arc(316, 200, 16, 14, -80, 80), 7, "#efe6d6")
    canvas.fill(soft([(268, 178), (318, 178), (312, 226), (274, 226)], [0, 0, 12, 12]), CREAM, "round")
    canvas.fill(oval(293, 178, 25, 6), "#6b4630")


def cushion(canvas: Canvas, look: Look) -> None:
    """A plump square cushion, its cover patterned with ferns in the style `fern` or else with diamonds."""
    corners = ((98, 102), (382, 102), (384, 380), (96, 380))
    outline = (
        bezier(corners[0], (180, 116), (300, 116), corners[1])
        + bezier(corners[1], (370, 180), (370, 300), corners[2])
        + bezier(corners[2], (300, 366), (180, 366), corners[3])
        + bezier(corners[3], (110, 300), (110, 180), corners[0])
    )
    canvas.fill(outline, look.main, "ball", depth=1.2)
    if look.style == "fern":
        for foot, tip in (((150, 350), (206, 150)), ((246, 356), (262, 132)), ((336, 350), (318, 156))):
            canvas.line([foot, tip], 4, look.trim, inside=outline)
            for step in range(1, 9):
                x, y = foot[0] + (tip[0] - foot[0]) * step / 9, foot[1] + (tip[1] - foot[1]) * step / 9
                for side in (-1, 1):
                    canvas.fill(leaf((x, y), (x + side * (40 - step * 3), y - 22), 15), look.trim, inside=outline)
    else:
        for row in range(5):
            for column in range(5):
                x, y = 136 + column * 52, 136 + row * 52
                diamond = [(x, y - 24), (x + 20, y), (x, y + 24), (x - 20, y)]
                canvas.fill(diamond, look.trim if (row + column) % 2 else look.accent, inside=outline)
    for x, y in corners:
        canvas.fill(oval(x, y, 9), look.accent, "ball")


def vase(canvas: Canvas, look: Look) -> None:
    """A vase; the style `bottle` is slim with eucalyptus in it, any other round with grasses."""
    canvas.stand(394, 62)
    if look.style == "bottle":
        for lean, reach in ((-58, 84), (4, 56), (56, 92)):
            stem = bezier((240, 210), (240, 160), (240 + lean / 2, 120), (240 + lean, reach))
            canvas.line(stem, 4, darker(LEAF, 0.2))
            for step in range(6, 25, 3):
                x, y = stem[step]
                for side in (-1, 1):
                    canvas.fill(
                        turned(oval(x + side * 14, y, 13, 9), side * -24, (x, y)), lighter(LEAF, 0.05 + step / 90)
                    )
        body = lathe([(19, 186), (17, 226), (30, 262), (58, 312), (60, 362), (46, 394)], curved=True)
        lip = oval(240, 187, 19, 5)
    else:
        for lean, reach in ((-74, 92), (-30, 52), (18, 42), (66, 76)):
            tip = (240 + lean, reach + 64)
            canvas.line(bezier((240, 240), (240, 200), (240 + lean, 180), tip), 3.5, "#a98a58")
            canvas.fill(turned(leaf(tip, (tip[0], tip[1] - 78), 26), lean / 3, tip), "#dfc48f", "round")
        body = lathe([(40, 222), (36, 238), (78, 272), (98, 322), (76, 376), (52, 394)], curved=True)
        lip = oval(240, 223, 40, 8)
    canvas.fill(body, look.main, "ball", depth=1.2)
    if look.style != "bottle":
        canvas.fill(box(120, 310, 360, 420), look.trim, "ball", inside=body)
        canvas.line([(120, 308), (360, 308)], 4, lighter(look.trim, 0.4), inside=body)
    canvas.fill(lip, darker(look.main, 0.4))
    canvas.sheen(turned(oval(206, 300, 8, 26), 14, (206, 300)), body, 0.4)


def mirror(canvas: Canvas, look: Look) -> None:
    """A round mirror on a leather strap."""
    canvas.line([(168, 190), (240, 84), (312, 190)], 9, look.trim)
    canvas.fill(oval(240, 80, 10), BRASS, "ball")
    canvas.fill(oval(240, 266, 132), look.main, "round", depth=1.2)
    glass = oval(240, 266, 117)
    canvas.fill(glass, "#cfe0e6", "down")
    for left, wide in ((116, 46), (190, 18)):
        canvas.sheen([(left, 400), (left + wide, 400), (left + wide + 150, 140), (left + 150, 140)], glass, 0.45)
    canvas.line(arc(240, 266, 116, 116, 200, 300), 4, darker(look.main, 0.35), alpha=0.5)


def wall_clock(canvas: Canvas, look: Look) -> None:
    """A clock with twelve marks that shows ten past ten."""
    canvas.fill(oval(240, 238, 148), look.main, "ball", depth=1.2)
    canvas.fill(oval(240, 238, 127), darker(look.main, 0.25))
    canvas.fill(oval(240, 240, 124), look.trim, "ball", depth=0.4)
    for hour in range(12):
        long = hour % 3 == 0
        mark = box(237, 126, 243, 148 if long else 138, 3)
        canvas.fill(turned(mark, hour * 30, (240, 240)), look.accent, alpha=1.0 if long else 0.6)
    for degrees, length, width in ((-52, 62, 11), (62, 92, 7)):
        angle = math.radians(degrees - 90)
        canvas.line([(240, 240), (240 + length * math.cos(angle), 240 + length * math.sin(angle))], width, look.accent)
    canvas.line([(240, 262), (240, 152)], 3, "#cf5a45")
    canvas.fill(oval(240, 240, 9), "#cf5a45")


def blanket(canvas: Canvas, look: Look) -> None:
    """A folded pile of woollen blanket with fringes."""
    canvas.stand(372, 138)
    for place, top in enumerate((304, 244, 184)):
        colour = (look.trim, look.main, look.main)[place]
        fold = box(104 + place * 3, top, 378 - place * 2, top + 66, 30)
        canvas.fill(fold, darker(colour, 0.05 * (2 - place)), "down")
        for x in (150, 166, 182):
            if colour == look.main:
                canvas.fill(box(x, top, x + 8, top + 66), look.trim, inside=fold)
        canvas.shade(box(104, top + 52, 380, top + 70), fold, 0.16)
    cover = soft([(206, 184), (330, 184), (330, 346), (206, 346)], [16, 16, 2, 2])
    canvas.shade(moved(cover, 5, 0), alpha=0.2)
    canvas.fill(cover, look.main, "round")
    for y in (216, 232, 248, 300):
        canvas.fill(box(200, y, 340, y + 8), look.trim, inside=cover)
    for x in range(212, 330, 12):
        canvas.line([(x, 344), (x + (x % 5) - 2, 370)], 4.5, look.trim)


def candle(canvas: Canvas, look: Look) -> None:
    """A scented candle in a glass with a label."""
    canvas.stand(380, 82)
    canvas.glow(240, 130, 140, "#ffdf9a", 0.9)
    canvas.fill(leaf((240, 192), (240, 96), 52), "#ffb649")
    canvas.fill(leaf((240, 190), (240, 132), 28), "#fff1c4")
    glass = box(154, 190, 326, 380, 20)
    canvas.fill(glass, look.main, "round")
    canvas.shine(240, 200, 130, "#ffe3a8", glass, 0.75)
    canvas.fill(oval(240, 196, 84, 15), lighter(look.main, 0.45))
    canvas.fill(oval(240, 198, 74, 11), "#fff0cf")
    canvas.line([(240, 198), (240, 176)], 4.5, INK)
    label = box(184, 256, 296, 340, 6)
    canvas.fill(label, look.trim, "round", depth=0.5)
    canvas.line([(206, 316), (274, 316)], 3, look.accent)
    canvas.line([(220, 327), (260, 327)], 3, look.accent, alpha=0.6)
    for tip, width in (((240, 266), 14), ((220, 280), 12), ((260, 280), 12)):
        canvas.fill(leaf((240, 304), tip, width), look.accent)
    canvas.sheen(box(168, 214, 178, 350, 5), glass, 0.4)


DRAWINGS = {
    "armchair": armchair,
    "stool": stool,
    "side_table": side_table,
    "cushion": cushion,
    "vase": vase,
    "mirror": mirror,
    "wall_clock": wall_clock,
    "blanket": blanket,
    "candle": candle,
}

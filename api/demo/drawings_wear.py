"""Drawings of what one puts on: every kind of product under Wear/Accessories."""

from __future__ import annotations

import math

from api.demo.canvas import BRASS, CREAM, INK, STEEL, WHITE, Canvas, Look, darker, lighter
from api.demo.shapes import Shape, arc, bezier, both, box, mirrored, moved, oval, smooth, soft, turned


def beanie(canvas: Canvas, look: Look) -> None:
    """A knitted hat; the style `bobble` has a pompom and a pattern, any other is plainly ribbed."""
    dome = bezier((104, 300), (96, 60), (384, 60), (376, 300))
    if look.style == "bobble":
        for place in range(26):
            reach = 34 + (place * 13) % 12
            x, y = turned([(240 + reach, 98)], place * 137.5, (240, 98))[0]
            canvas.line([(240, 98), (x, y)], 13, lighter(look.accent, (place % 4) * 0.08))
        canvas.fill(oval(240, 98, 38), look.accent, "ball")
    canvas.fill(dome, look.main, "round", depth=1.2)
    for x in range(120, 370, 20):
        top = 240 + (x - 240) * 0.2
        canvas.line(
            bezier((x, 300), (x, 220), (top, 150), (top, 118)), 2.6, darker(look.main, 0.28), inside=dome, alpha=0.55
        )
    if look.style == "bobble":
        canvas.fill(box(90, 206, 390, 262), look.trim, "round", inside=dome)
        for place, x in enumerate(range(104, 392, 24)):
            canvas.line(
                [(x, 254), (x + 12, 216), (x + 24, 254)], 5, look.accent if place % 2 else look.main, inside=dome
            )
    cuff = box(92, 282, 388, 370, 24)
    canvas.shade(moved(cuff, 0, -8), dome, 0.14)
    canvas.fill(cuff, lighter(look.main, 0.1) if look.style != "bobble" else look.accent, "round", depth=1.1)
    for x in range(106, 384, 15):
        canvas.line(
            [(x, 290), (x, 362)], 4, darker(look.main if look.style != "bobble" else look.accent, 0.2), alpha=0.5
        )
    if look.style != "bobble":
        canvas.fill(box(292, 308, 336, 344, 4), look.trim)


def scarf(canvas: Canvas, look: Look) -> None:
    """A striped scarf, wound once, its ends hanging down."""
    for lean, length in ((-9, 426), (8, 390)):
        about = (240 + lean * 3.0, 200.0)
        left = about[0] - 42
        for step in range(9):
            x = left + 6 + step * 9
            canvas.line(turned([(x, length - 4), (x, length + 22)], -lean, about), 5, look.trim)
        tail = turned(soft([(left, 190), (left + 84, 190), (left + 84, length), (left, length)], 3), -lean, about)
        canvas.shade(moved(tail, 5, 6), alpha=0.12)
        canvas.fill(tail, look.main, "round", depth=1.15)
        for y in range(int(length) - 34, 230, -44):
            for top, height, colour in ((y, 18, look.trim), (y + 23, 5, look.accent)):
                canvas.fill(
                    turned(box(left - 4, top, left + 90, top + height), -lean, about), colour, "round", inside=tail
                )
    back = smooth([(112, 160), (150, 96), (240, 78), (330, 96), (368, 160), (300, 190), (180, 190)])
    canvas.fill(back, darker(look.main, 0.3), "round")
    canvas.fill(smooth([(166, 152), (240, 112), (314, 152), (290, 190), (190, 190)]), darker(look.main, 0.55), "down")
    collar = smooth(
        [
            (104, 148),
            (150, 168),
            (240, 180),
            (330, 168),
            (376, 148),
            (366, 214),
            (320, 252),
            (240, 264),
            (160, 252),
            (114, 214),
        ]
    )
    canvas.shade(moved(collar, 0, 9), alpha=0.16)
    canvas.fill(collar, look.main, "round", depth=1.2)
    for drop, width, colour in ((24, 15, look.trim), (42, 5, look.accent), (62, 15, look.trim)):
        fold = bezier((100, 146 + drop), (170, 190 + drop), (310, 190 + drop), (380, 146 + drop))
        canvas.line(fold, width, colour, inside=collar)
    canvas.fill(smooth([(330, 160), (400, 130), (400, 260), (280, 280)]), "#1d1b2c", inside=collar, alpha=0.14)


def socks(canvas: Canvas, look: Look) -> None:
    """A pair of socks; the style says what is knitted in: `stripes` or `dots`."""
    for right, down, tone in ((58, -18, 0.1), (-34, 14, 0.0)):
        outline = [
            (176, 96),
            (264, 96),
            (266, 246),
            *bezier((266, 246), (280, 290), (330, 300), (356, 330)),
            *bezier((356, 330), (376, 372), (336, 392), (290, 386)),
            *bezier((290, 386), (214, 378), (176, 340), (174, 270)),
        ]
        sock = moved(soft(outline, 4), right, down)
        canvas.shade(moved(sock, 6, 8), alpha=0.13)
        main, trim = darker(look.main, tone), darker(look.trim, tone)
        canvas.fill(sock, main, "round", depth=1.1)
        if look.style == "dots":
            for row in range(9):
                for column in range(9):
                    canvas.fill(
                        oval(178 + right + column * 27 + (13 if row % 2 else 0), 156 + down + row * 27, 6),
                        trim,
                        inside=sock,
                    )
        else:
            for y in range(150, 262, 32):
                canvas.fill(box(150 + right, y + down, 300 + right, y + down + 15), trim, inside=sock)
        canvas.fill(moved(oval(352, 362, 52, 58), right, down), look.accent, "ball", inside=sock)
        canvas.fill(moved(oval(180, 330, 50, 44), right, down), look.accent, "ball", inside=sock)
        cuff = moved(box(170, 84, 270, 132, 10), right, down)
        canvas.fill(cuff, darker(look.accent, tone), "round", depth=1.1)
        for x in range(180, 268, 11):
            canvas.line(moved([(x, 90), (x, 127)], right, down), 2.5, darker(look.accent, 0.3), alpha=0.6)


def umbrella(canvas: Canvas, look: Look) -> None:
    """An open umbrella with a crooked handle; the style `closed` is rolled up."""
    if look.style == "closed":

        def lay(shape: Shape) -> Shape:
            return turned(shape, 24)

        canvas.line(lay([(240, 30), (240, 64)]), 8, STEEL)
        canvas.line(lay([(240, 320), (240, 392), *arc(268, 392, 28, 32, 180, 10)]), 17, look.accent)
        cloth = lay(
            smooth([(240, 52), (262, 150), (276, 270), (254, 336), (240, 342), (226, 336), (204, 270), (218, 150)])
        )
        canvas.fill(cloth, look.main, "round", depth=1.4)
        for x in (222, 258):
            canvas.line(
                lay(bezier((240, 66), (240, 150), (x, 230), (x - 4, 332))),
                3,
                darker(look.main, 0.35),
                inside=cloth,
                alpha=0.8,
            )
        canvas.fill(lay(turned(box(190, 246, 290, 262), 8)), look.trim, "round", inside=cloth)
        canvas.fill(lay(oval(240, 258, 7)), BRASS)
        canvas.fill(lay(box(228, 334, 252, 352, 4)), STEEL, "round")
        return
    canvas.line([(240, 60), (240, 398), *arc(268, 398, 28, 30, 180, 0)], 10, look.accent)
    canvas.line([(240, 350), (240, 398), *arc(268, 398, 28, 30, 180, 0)], 16, look.accent)
    canvas.line([(240, 52), (240, 84)], 8, STEEL)
    scallops: Shape = []
    for step in range(4):
        left = 64 + step * 88
        scallops += bezier((left, 264), (left + 22, 232), (left + 66, 232), (left + 88, 264))
    crown = [*scallops, *bezier((416, 264), (396, 20), (84, 20), (64, 264))]
    canvas.fill(crown, look.main, "round", depth=1.2)
    for place in (0, 2):
        left, right = 64 + place * 88 + 88, 64 + place * 88 + 176
        lean_left, lean_right = 240 + (left - 240) * 0.9, 240 + (right - 240) * 0.9
        panel = [
            *bezier((240, 76), (lean_left, 90), (left, 170), (left, 264)),
            *bezier((right, 264), (right, 170), (lean_right, 90), (240, 76)),
        ]
        canvas.fill(panel, look.trim, "down", inside=crown, depth=0.6)
    canvas.shade([*bezier((240, 76), (319, 90), (328, 170), (328, 264)), (420, 264), (420, 60)], crown, 0.12)
    for x in (152, 240, 328):
        lean = 240 + (x - 240) * 0.9
        canvas.line(
            bezier((240, 76), (lean, 90), (x, 170), (x, 262)), 2.5, darker(look.main, 0.35), inside=crown, alpha=0.6
        )


def sunglasses(canvas: Canvas, look: Look) -> None:
    """Round-rimmed sunglasses, folded open."""
    for temple in both(bezier((100, 218), (82, 186), (94, 158), (130, 148))):
        canvas.line(temple, 13, darker(look.main, 0.2))
    canvas.line(bezier((206, 226), (224, 206), (256, 206), (274, 226)), 15, look.main)
    rim = smooth([(94, 212), (150, 196), (210, 210), (222, 256), (196, 312), (146, 324), (102, 296), (86, 250)])
    for frame in both(rim):
        canvas.fill(frame, look.main, "ball", depth=1.2)
    for lens, left in zip(
        both([(154 + (x - 154) * 0.8, 260 + (y - 260) * 0.78) for x, y in rim]), (124, 272), strict=True
    ):
        canvas.fill(lens, look.trim, "down", depth=1.6)
        for x, wide in ((left, 26), (left + 40, 10)):
            canvas.sheen([(x, 330), (x + wide, 330), (x + 70 + wide, 190), (x + 70, 190)], lens, 0.28)
    for x in (98, 382):
        canvas.fill(oval(x, 222, 6), BRASS, "ball")


def watch(canvas: Canvas, look: Look) -> None:
    """A wrist watch on a leather strap."""
    for top, bottom, narrow in ((36, 150, True), (330, 446, False)):
        ends = (196, 284, 178, 302) if narrow else (178, 302, 196, 284)
        strap = soft(
            [(ends[0], top), (ends[1], top), (ends[3], bottom), (ends[2], bottom)],
            [10, 10, 0, 0] if narrow else [0, 0, 24, 24],
        )
        canvas.fill(strap, look.main, "round", depth=1.15)
        for x in (-1, 1):
            seam = [
                (240 + x * ((ends[1] - ends[0]) / 2 - 9), top + 6),
                (240 + x * ((ends[3] - ends[2]) / 2 - 9), bottom - 6),
            ]
            canvas.line(seam, 2, lighter(look.main, 0.5), alpha=0.8)
    for y in (378, 400, 422):
        canvas.fill(oval(240, y, 5), darker(look.main, 0.5))
    canvas.fill(box(186, 44, 294, 58, 4), BRASS, "round")
    canvas.fill(box(340, 226, 362, 254, 5), look.accent, "round")
    canvas.fill(oval(240, 240, 112), look.accent, "ball", depth=1.3)
    canvas.fill(oval(240, 240, 96), darker(look.accent, 0.35))
    face = oval(240, 241, 93)
    canvas.fill(face, look.trim, "ball", depth=0.4)
    for hour in range(12):
        canvas.fill(
            turned(box(237, 156, 243, 174 if hour % 3 == 0 else 166, 2), hour * 30, (240, 240)), INK, alpha=0.85
        )
    for degrees, length, width in ((-60, 44, 8), (48, 66, 6)):
        angle = math.radians(degrees - 90)
        canvas.line([(240, 240), (240 + length * math.cos(angle), 240 + length * math.sin(angle))], width, INK)
    canvas.line([(240, 256), (240, 172)], 2.5, "#d2503f")
    canvas.fill(oval(240, 240, 7), "#d2503f")
    canvas.sheen(
        bezier((166, 226), (176, 180), (214, 160), (252, 158)) + bezier((252, 158), (220, 176), (190, 200), (166, 226)),
        face,
        0.4,
    )


def cap(canvas: Canvas, look: Look) -> None:
    """A cap with a brim to the left."""
    brim = bezier((150, 306), (60, 300), (26, 340), (44, 366)) + bezier((44, 366), (120, 352), (230, 348), (300, 322))
    canvas.stand(352, 140, 252, 0.8)
    canvas.fill(brim, darker(look.trim, 0.08), "down")
    canvas.line(bezier((52, 352), (120, 336), (200, 334), (270, 318)), 2.5, lighter(look.trim, 0.35), alpha=0.7)
    crown = bezier((128, 318), (112, 96), (392, 84), (404, 318)) + bezier(
        (404, 318), (330, 346), (210, 336), (128, 318)
    )
    canvas.fill(crown, look.main, "round", depth=1.2)
    front = (
        bezier((128, 318), (116, 150), (204, 128), (258, 142))
        + bezier((258, 142), (232, 200), (236, 270), (256, 336))
        + [(180, 330)]
    )
    canvas.fill(front, lighter(look.main, 0.1), "round", inside=crown)
    for foot, lean in ((256, 232), (346, 330)):
        canvas.line(
            bezier((262, 142), (lean, 190), (lean, 270), (foot, 338)),
            3,
            darker(look.main, 0.3),
            inside=crown,
            alpha=0.7,
        )
    canvas.fill(oval(262, 142, 15, 9), look.trim, "ball")
    for x, y in ((292, 196), (356, 216)):
        canvas.fill(oval(x, y, 5), darker(look.main, 0.4))
    canvas.fill(oval(186, 244, 34), look.accent, "ball", depth=0.6)
    canvas.fill([(160, 258), (180, 226), (192, 242), (200, 234), (212, 258)], CREAM)


def mittens(canvas: Canvas, look: Look) -> None:
    """A pair of mittens on a cord."""
    canvas.line(bezier((152, 366), (140, 450), (340, 450), (328, 366)), 5, look.accent)
    for side in (False, True):

        def lay(shape: Shape, side: bool = side) -> Shape:
            leaning = moved(turned(shape, -8, (160, 240)), -14)
            return mirrored(leaning) if side else leaning

        thumb = lay(turned(oval(222, 230, 24, 48), 32, (222, 230)))
        canvas.fill(thumb, darker(look.main, 0.08), "round")
        hand = lay(soft([(98, 86), (204, 86), (208, 330), (104, 330)], [54, 54, 14, 14]))
        canvas.fill(hand, look.main, "round", depth=1.1)
        for row, y in enumerate(range(150, 270, 34)):
            for x in range(96, 222, 28):
                shift = 14 if row % 2 else 0
                canvas.fill(
                    lay([(x + shift, y - 12), (x + 10 + shift, y), (x + shift, y + 12), (x - 10 + shift, y)]),
                    look.trim,
                    inside=hand,
                )
        canvas.fill(lay(box(92, 304, 220, 318)), look.trim, inside=hand)
        cuff = lay(box(98, 316, 214, 378, 14))
        canvas.fill(cuff, look.accent, "round", depth=1.1)
        for x in range(110, 210, 13):
            canvas.line(lay([(x, 324), (x, 370)]), 3, darker(look.accent, 0.3), inside=cuff, alpha=0.6)


def rain_boots(canvas: Canvas, look: Look) -> None:
    """A pair of rubber boots in a puddle."""
    canvas.fill(oval(240, 396, 176, 20), "#a9c7d3", alpha=0.9)
    canvas.fill(oval(214, 392, 96, 9), WHITE, alpha=0.4)
    for right, tone in ((70, 0.16), (-36, 0.0)):
        outline = [
            (164, 88),
            (256, 88),
            (258, 280),
            *bezier((258, 280), (290, 300), (340, 300), (352, 344)),
            (354, 378),
            (166, 378),
        ]
        boot = moved(soft(outline, 5), right - 30, 0)
        main = darker(look.main, tone)
        canvas.fill(boot, main, "round", depth=1.2)
        canvas.fill(moved(box(156, 362, 366, 392, 8), right - 30, 0), darker(look.trim, tone), "round")
        canvas.fill(moved(box(158, 82, 262, 112, 8), right - 30, 0), darker(look.trim, tone), "round")
        canvas.line(
            moved(bezier((300, 306), (290, 330), (292, 346), (300, 362)), right - 30, 0),
            3,
            darker(main, 0.3),
            inside=boot,
            alpha=0.7,
        )
        for x, y in ((186, 150), (222, 190), (190, 236), (230, 270), (200, 310), (262, 330), (318, 336), (232, 138)):
            canvas.fill(moved(oval(x, y, 9), right - 30, 0), look.accent, inside=boot)
        canvas.sheen(moved(box(176, 130, 184, 330, 4), right - 30, 0), boot, 0.35)


DRAWINGS = {
    "beanie": beanie,
    "scarf": scarf,
    "socks": socks,
    "umbrella": umbrella,
    "sunglasses": sunglasses,
    "watch": watch,
    "cap": cap,
    "mittens": mittens,
    "rain_boots": rain_boots,
}

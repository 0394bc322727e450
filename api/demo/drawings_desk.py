"""Drawings of what lies on a desk: every kind of product under Work/Desk."""

from __future__ import annotations

from api.demo.canvas import BRASS, CREAM, INK, STEEL, WHITE, WOOD, Canvas, Look, darker, lighter
from api.demo.shapes import Shape, arc, bezier, both, box, leaf, mirrored, moved, oval, smooth, soft, turned


def notebook(canvas: Canvas, look: Look) -> None:
    """A notebook; the style is `band` (elastic), `spiral` or `stitched`."""
    about = (240, 240)
    tilt = {"band": -7, "spiral": 6}.get(look.style, -4)

    def lay(shape: Shape) -> Shape:
        return turned(shape, tilt, about)

    canvas.shade(moved(lay(box(124, 88, 364, 402, 14)), 8, 10), alpha=0.10)
    canvas.fill(lay(box(128, 88, 366, 402, 12)), darker(look.main, 0.3))
    for inset in (3, 7, 11):
        canvas.fill(lay(box(126, 88 + inset, 362 - inset / 2, 402 - inset / 2, 8)), CREAM if inset != 7 else "#e4dac6")
    cover = lay(box(118, 80, 352, 392, 14))
    canvas.fill(cover, look.main, "round", depth=0.8)
    canvas.fill(lay(box(110, 70, 144, 402)), darker(look.main, 0.16), inside=cover)
    if look.style == "band":
        canvas.fill(lay(box(312, 70, 324, 402)), look.trim, inside=cover)
        canvas.fill(lay(box(180, 158, 284, 214, 6)), look.trim)
        canvas.line(lay([(196, 180), (268, 180)]), 4, look.accent)
        canvas.line(lay([(210, 196), (254, 196)]), 4, look.accent, alpha=0.6)
        canvas.fill(lay([(206, 392), (226, 392), (226, 434), (216, 424), (206, 434)]), look.accent)
    elif look.style == "spiral":
        for y in range(104, 384, 22):
            canvas.fill(lay(oval(134, y, 5.5)), darker(look.main, 0.5))
            canvas.line(lay(arc(119, y, 17, 9, 20, 330)), 4, STEEL)
        for ring in (74, 52, 30):
            canvas.fill(lay(oval(246, 236, ring)), (look.trim, look.accent)[ring == 52])
    else:
        for y in range(92, 390, 20):
            canvas.line(lay([(144, y), (144, y + 9)]), 3, look.trim)
        canvas.line(lay([(248, 318), (248, 190)]), 5, look.trim)
        for step in range(4):
            y = 304 - step * 30
            for side in (-1, 1):
                canvas.fill(lay(leaf((248, y), (248 + side * (50 - step * 7), y - 30), 20)), look.trim)
        canvas.fill(lay(leaf((248, 206), (248, 160), 20)), look.trim)


def fountain_pen(canvas: Canvas, look: Look) -> None:
    """A fountain pen above the line it wrote."""
    stroke = smooth(
        [(92, 376), (120, 340), (134, 386), (162, 350), (178, 390), (212, 362), (236, 384), (330, 370)], closed=False
    )
    canvas.line(stroke, 5, look.accent)
    turn = 40

    def lay(shape: Shape) -> Shape:
        return moved(turned(shape, turn), 30, -22)

    canvas.fill(
        lay(soft([(218, 66), (262, 66), (266, 292), (214, 292)], [18, 18, 0, 0])), look.main, "round", depth=1.3
    )
    for y in (176, 292):
        canvas.fill(lay(box(211, y, 269, y + 12, 3)), BRASS, "round")
    canvas.line(lay([(262, 84), (278, 92), (278, 164)]), 7, BRASS)
    canvas.fill(lay(soft([(218, 304), (262, 304), (256, 356), (224, 356)], 4)), look.trim, "round", depth=1.2)
    nib = lay([(226, 356), (254, 356), (258, 382), (240, 428), (222, 382)])
    canvas.fill(nib, BRASS, "round", depth=1.3)
    canvas.line(lay([(240, 386), (240, 424)]), 2.2, darker(BRASS, 0.6))
    canvas.fill(lay(oval(240, 382, 4.5)), darker(BRASS, 0.6))
    canvas.sheen(lay(box(226, 90, 232, 168, 3)), alpha=0.45)


def pencil_cup(canvas: Canvas, look: Look) -> None:
    """A cup of pencils and a ruler."""
    canvas.stand(396, 84)
    canvas.fill(turned(box(282, 84, 316, 300, 3), 12, (299, 300)), WOOD, "round")
    for y in range(98, 240, 14):
        canvas.line(turned([(284, y), (294 if y % 28 else 300, y)], 12, (299, 300)), 2, INK, alpha=0.6)
    for x, top, lean, colour in (
        (190, 92, -13, look.accent),
        (224, 64, -3, look.trim),
        (256, 96, 6, "#e0b13f"),
        (206, 132, -8, "#5f8fa8"),
    ):
        about = (float(x), 300.0)
        canvas.fill(turned(box(x - 11, top + 34, x + 11, 300), lean, about), colour, "round", depth=1.2)
        canvas.fill(turned([(x - 11, top + 34), (x, top), (x + 11, top + 34)], lean, about), "#edd1a6", "round")
        canvas.fill(turned([(x - 4, top + 12), (x, top), (x + 4, top + 12)], lean, about), darker(colour, 0.2))
    cup = soft([(152, 226), (328, 226), (316, 396), (164, 396)], [4, 4, 20, 20])
    canvas.fill(cup, look.main, "round", depth=1.2)
    canvas.fill(box(140, 226, 340, 240), lighter(look.main, 0.22), "round", inside=cup)
    for y in (318, 334, 350):
        canvas.line(
            smooth([(150 + step * 12, y + (6 if step % 2 else -6)) for step in range(17)], closed=False),
            4.5,
            look.trim,
            inside=cup,
        )


def scissors(canvas: Canvas, look: Look) -> None:
    """A pair of scissors, a little open."""
    for side in (False, True):

        def lay(shape: Shape, side: bool = side) -> Shape:
            return turned(mirrored(shape) if side else shape, 32)

        blade = turned(soft([(228, 262), (250, 262), (252, 60), (244, 54), (232, 90)], [6, 6, 0, 0, 0]), 13, (240, 250))
        canvas.fill(lay(blade), STEEL if side else lighter(STEEL, 0.25), "round", depth=1.1)
        grip = turned([(240, 246), (232, 300), (214, 320)], 6, (240, 250))
        canvas.line(lay(grip), 19, look.main if side else darker(look.main, 0.1))
        ring = turned(oval(188, 364, 40, 54), 24, (188, 364))
        canvas.line(lay(ring + ring[:4]), 21, look.main if side else darker(look.main, 0.1))
        canvas.line(lay(moved(ring[62:100], -1, -1)), 5, lighter(look.main, 0.4), alpha=0.8)
    canvas.fill(oval(240, 242, 12), BRASS, "ball")


def tape(canvas: Canvas, look: Look) -> None:
    """Three rolls of patterned paper tape."""
    for x, y, radius, colour, other in (
        (176, 178, 92, look.main, look.trim),
        (322, 252, 82, look.trim, look.accent),
        (178, 334, 78, look.accent, look.main),
    ):
        canvas.shade(oval(x + 6, y + 9, radius), alpha=0.14)
        canvas.fill(oval(x, y + 8, radius), darker(colour, 0.25))
        canvas.fill(oval(x, y, radius), colour, "ball", depth=0.7)
        for step in range(12):
            canvas.fill(turned(oval(x + radius * 0.8, y, 6), step * 30, (x, y)), other)
        canvas.fill(oval(x, y, radius * 0.58), "#cfae82")
        canvas.fill(oval(x, y, radius * 0.5), darker("#cfae82", 0.3), "down")
        canvas.fill(oval(x, y + 6, radius * 0.46), "#e9eef0")


def globe(canvas: Canvas, look: Look) -> None:
    """A globe on its stand."""
    canvas.stand(408, 86)
    canvas.fill(arc(240, 408, 86, 26, 180, 360), look.trim, "round")
    canvas.fill(box(230, 352, 250, 392), look.trim, "round")
    canvas.line(arc(240, 214, 150, 150, -62, 118), 12, BRASS)
    for x, y in ((310, 82), (170, 346)):
        canvas.fill(oval(x, y, 10), BRASS, "ball")
    ball = oval(240, 214, 130)
    canvas.fill(ball, look.main, "ball", depth=1.2)
    lands = (
        [
            (132, 150),
            (170, 116),
            (222, 108),
            (236, 136),
            (206, 150),
            (212, 176),
            (186, 196),
            (174, 226),
            (148, 204),
            (124, 196),
        ],
        [(190, 232), (222, 236), (238, 262), (222, 306), (202, 334), (190, 290), (178, 258)],
        [(286, 116), (330, 122), (372, 168), (380, 218), (346, 200), (324, 210), (300, 178), (276, 160)],
        [(286, 208), (320, 216), (336, 246), (318, 296), (298, 312), (288, 268), (268, 240)],
        [(346, 270), (372, 262), (366, 298), (346, 304)],
    )
    for land in lands:
        canvas.fill(turned(smooth(land), 8, (240, 214)), look.accent, "ball", inside=ball, depth=0.6)
    for reach in (44, 96):
        canvas.line(turned(oval(240, 214, reach, 130), 20, (240, 214)), 1.6, WHITE, alpha=0.35)
    for y in (150, 214, 278):
        canvas.line(
            turned(bezier((110, y), (180, y + 14), (300, y + 14), (370, y)), 20, (240, 214)),
            1.6,
            WHITE,
            inside=ball,
            alpha=0.35,
        )
    canvas.sheen(turned(oval(190, 146, 20, 40), 46, (190, 146)), ball, 0.3)


def desk_calendar(canvas: Canvas, look: Look) -> None:
    """A standing calendar with a marked day."""
    canvas.stand(388, 136)
    canvas.fill([(120, 388), (160, 130), (320, 130), (360, 388)], darker(look.trim, 0.3), "down")
    page = soft([(112, 122), (368, 122), (368, 372), (112, 372)], 10)
    canvas.fill(moved(page, 0, 10), "#e5dccb")
    canvas.fill(moved(page, 0, 5), "#f0e9db")
    canvas.fill(page, "#fffdf7", "down", depth=0.3)
    canvas.fill(box(112, 122, 368, 188), look.main, "round", inside=page)
    canvas.line([(170, 158), (310, 158)], 10, lighter(look.main, 0.7))
    for x in range(142, 350, 28):
        canvas.fill(oval(x, 132, 5), darker(look.main, 0.5))
        canvas.line(arc(x, 120, 6, 14, 100, 430), 4, STEEL)
    for row in range(5):
        for column in range(7):
            x, y = 143 + column * 32, 214 + row * 32
            if (row, column) == (2, 4):
                canvas.fill(oval(x, y, 15), look.accent)
                canvas.fill(box(x - 6, y - 6, x + 6, y + 6, 3), WHITE)
            elif (row, column) > (0, 1) and (row, column) < (4, 4):
                canvas.fill(box(x - 7, y - 7, x + 7, y + 7, 3), look.trim if column < 5 else lighter(look.accent, 0.5))


def stapler(canvas: Canvas, look: Look) -> None:
    """A stapler from the side."""
    canvas.stand(356, 150)
    canvas.fill(soft([(92, 330), (398, 330), (410, 356), (82, 356)], 10), look.trim, "round")
    canvas.fill(box(106, 318, 142, 334, 4), STEEL, "round")
    canvas.fill(soft([(330, 250), (392, 240), (398, 338), (326, 338)], 12), darker(look.main, 0.25), "round")
    about = (370, 280)
    canvas.fill(turned(box(100, 254, 372, 282, 6), 7, about), STEEL, "down")
    top = turned(soft([(88, 214), (200, 190), (376, 206), (400, 270), (92, 258)], [22, 60, 34, 22, 16]), 7, about)
    canvas.fill(top, look.main, "down", depth=1.3)
    canvas.sheen(
        turned(
            bezier((120, 222), (190, 202), (300, 206), (356, 222))
            + bezier((356, 226), (300, 214), (190, 212), (120, 230)),
            7,
            about,
        ),
        top,
        0.45,
    )
    canvas.fill(oval(368, 290, 13), BRASS, "ball")
    for x in (150, 184, 218):
        staple = [(x, 400), (x, 382), (x + 24, 382), (x + 24, 400)]
        canvas.line(turned(staple, (x % 7) * 8 - 20, (x + 12, 390)), 3.5, STEEL)


def letter_set(canvas: Canvas, look: Look) -> None:
    """Envelopes with a wax seal and a sheet of paper."""
    sheet = turned(box(140, 82, 346, 330, 4), 6)
    canvas.shade(moved(sheet, 5, 7), alpha=0.1)
    canvas.fill(sheet, "#fffdf6")
    for y in range(118, 250, 22):
        canvas.line(turned([(166, y), (320 if y % 44 else 280, y)], 6), 4, look.accent, alpha=0.55)
    about = (240, 300)
    body = turned(box(92, 196, 388, 392, 8), -5, about)
    canvas.shade(moved(body, 5, 8), alpha=0.12)
    canvas.fill(body, look.main, "down", depth=0.6)
    for fold in both([(92, 392), (236, 292), (92, 200)]):
        canvas.fill(turned(fold, -5, about), darker(look.main, 0.07), inside=body)
    canvas.fill(
        turned(soft([(92, 392), (388, 392), (252, 274), (228, 274)], [8, 8, 10, 10]), -5, about),
        lighter(look.main, 0.1),
        inside=body,
    )
    flap = turned(soft([(92, 197), (388, 197), (256, 314), (224, 314)], [6, 6, 22, 22]), -5, about)
    canvas.shade(moved(flap, 0, 7), body, 0.16)
    canvas.fill(flap, lighter(look.main, 0.18), "down", depth=0.6)
    seal = smooth(
        [
            (240 + (33 + (place * 5) % 4) * x, 300 + (33 + (place * 5) % 4) * y)
            for place, (x, y) in enumerate(oval(0, 0, 1)[::8])
        ][:-1]
    )
    canvas.fill(moved(seal, 2, 4), darker(look.trim, 0.4))
    canvas.fill(seal, look.trim, "ball", depth=1.2)
    canvas.line(oval(240, 300, 22), 3, darker(look.trim, 0.25))
    for turn in (-40, 0, 40):
        canvas.fill(turned(leaf((240, 312), (240, 284), 9), turn, (240, 312)), darker(look.trim, 0.3))


def watercolours(canvas: Canvas, look: Look) -> None:
    """A tin of twelve watercolours and a brush."""
    about = (240, 250)
    tin = turned(box(82, 138, 398, 374, 20), -6, about)
    canvas.shade(moved(tin, 6, 9), alpha=0.14)
    canvas.fill(tin, look.main, "down")
    canvas.fill(turned(box(98, 152, 382, 360, 12), -6, about), CREAM, "down", depth=0.4)
    hues = (
        "#d2503f",
        "#e8893f",
        "#f2c23f",
        "#b7c24a",
        "#5f9e57",
        "#3f8a83",
        "#4a9ac0",
        "#3f62a0",
        "#6d4f95",
        "#b2568f",
        "#8a5a3a",
        "#3a3f45",
    )
    for place, hue in enumerate(hues):
        x, y = 112 + (place % 6) * 45, 170 + (place // 6) * 66
        canvas.fill(turned(box(x, y, x + 36, y + 52, 6), -6, about), WHITE)
        canvas.fill(turned(box(x + 4, y + 4, x + 32, y + 48, 5), -6, about), hue, "ball", depth=0.9)
    for x, hue in ((150, "#d2503f"), (214, "#4a9ac0"), (276, "#f2c23f")):
        blot = smooth([(x - 20, 328), (x, 312), (x + 26, 322), (x + 18, 342), (x - 8, 346)])
        canvas.fill(turned(blot, -6, about), hue, alpha=0.6)

    def lay(shape: Shape) -> Shape:
        return turned(shape, 58, (250, 260))

    canvas.shade(moved(lay(box(244, 96, 258, 330, 6)), 5, 9), alpha=0.2)
    canvas.fill(lay(soft([(246, 60), (254, 60), (259, 300), (241, 300)], 3)), look.trim, "round", depth=1.2)
    canvas.fill(lay(box(240, 296, 260, 340, 2)), STEEL, "round", depth=1.3)
    canvas.fill(lay(smooth([(241, 340), (259, 340), (262, 366), (250, 400), (238, 366)])), "#6b4630", "round")
    canvas.fill(lay(smooth([(244, 372), (256, 372), (250, 400)])), look.accent)


DRAWINGS = {
    "notebook": notebook,
    "fountain_pen": fountain_pen,
    "pencil_cup": pencil_cup,
    "scissors": scissors,
    "tape": tape,
    "globe": globe,
    "desk_calendar": desk_calendar,
    "stapler": stapler,
    "letter_set": letter_set,
    "watercolours": watercolours,
}

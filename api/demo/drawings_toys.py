"""Drawings of what children play with: every kind of product under Kids/Toys."""

from __future__ import annotations

from api.demo.canvas import BRASS, CREAM, INK, STEEL, WHITE, WOOD, Canvas, Look, darker, lighter
from api.demo.shapes import Shape, arc, bezier, both, box, lathe, leaf, moved, oval, smooth, soft, turned


def teddy(canvas: Canvas, look: Look) -> None:
    """A sitting soft animal; the style `rabbit` has long ears, any other is a bear."""
    canvas.stand(408, 112)
    x, y, rx, ry, lean = (196, 70, 24, 66, -12) if look.style == "rabbit" else (170, 92, 34, 34, 0)
    for outer in both(turned(oval(x, y, rx, ry), lean, (196, 130))):
        canvas.fill(outer, look.main, "ball")
    for inner in both(turned(oval(x, y, rx * 0.55, ry * 0.62), lean, (196, 130))):
        canvas.fill(inner, look.trim, "ball")
    for arm in both(turned(oval(134, 284, 34, 66), 28, (134, 284))):
        canvas.fill(arm, darker(look.main, 0.08), "ball")
    body = oval(240, 306, 96, 98)
    canvas.fill(body, look.main, "ball", depth=1.15)
    canvas.fill(oval(240, 318, 60, 66), look.trim, "ball", depth=0.7)
    for leg in both(oval(156, 376, 48, 40)):
        canvas.fill(leg, look.main, "ball", depth=1.2)
    for pad in both(oval(150, 380, 27, 24)):
        canvas.fill(pad, look.trim, "ball", depth=0.7)
    head = oval(240, 158, 96, 84)
    canvas.shade(moved(head, 0, 10), body, 0.2)
    canvas.fill(head, look.main, "ball", depth=1.15)
    canvas.fill(oval(240, 190, 46, 36), look.trim, "ball", depth=0.7)
    for x in (202, 278):
        canvas.fill(oval(x, 150, 10, 11), INK)
        canvas.fill(oval(x - 3, 146, 3), WHITE)
        canvas.fill(oval(x + (-26 if x < 240 else 26), 182, 13, 9), "#e58f7b", alpha=0.4)
    canvas.fill(smooth([(226, 174), (254, 174), (240, 188)]), INK)
    for side in (-1, 1):
        canvas.line(bezier((240, 188), (240, 202), (240 + side * 16, 206), (240 + side * 20, 198)), 3.5, INK)
        bow = [(240, 244), (240 + side * 42, 224), (240 + side * 42, 266)]
        canvas.fill(soft(bow, [4, 14, 14]), look.accent, "round")
    canvas.fill(oval(240, 245, 12), darker(look.accent, 0.15), "ball")


def wheel(canvas: Canvas, x: float, y: float, radius: float, colour: str, hub: str) -> None:
    """A toy's wheel with a hub."""
    canvas.fill(oval(x, y, radius), colour, "ball", depth=1.1)
    canvas.fill(oval(x, y, radius * 0.58), lighter(colour, 0.25), "ball", depth=0.7)
    canvas.fill(oval(x, y, radius * 0.24), hub, "ball")


def toy_train(canvas: Canvas, look: Look) -> None:
    """A wooden engine with its smoke."""
    canvas.stand(382, 164)
    for x, y, radius in ((118, 92, 17), (152, 66, 23), (196, 46, 28)):
        canvas.fill(oval(x, y, radius), WHITE, "ball", alpha=0.9, depth=0.4)
    canvas.fill(box(72, 312, 410, 344, 8), WOOD, "down")
    canvas.fill(box(94, 112, 144, 134, 6), look.accent, "round")
    canvas.fill(soft([(104, 130), (134, 130), (130, 208), (108, 208)], 2), look.trim, "round")
    boiler = box(74, 198, 280, 316, 32)
    canvas.fill(boiler, look.main, "down", depth=1.3)
    for x in (150, 206):
        canvas.fill(box(x, 190, x + 13, 320), look.trim, "down", inside=boiler)
    canvas.fill(oval(82, 256, 14, 48), darker(look.main, 0.2), "down")
    canvas.fill(arc(196, 200, 22, 26, 180, 360), BRASS, "round")
    canvas.fill(box(268, 144, 396, 316, 6), look.accent, "round")
    canvas.fill(box(252, 124, 412, 152, 12), look.trim, "round")
    canvas.fill(box(294, 176, 370, 240, 10), "#cfe3ea", "down")
    canvas.line([(332, 176), (332, 240)], 5, look.accent)
    for x in (120, 200):
        wheel(canvas, x, 346, 38, look.trim, BRASS)
    wheel(canvas, 332, 330, 54, look.main, BRASS)
    canvas.line([(120, 346), (200, 346), (332, 346)], 8, STEEL)


def building_blocks(canvas: Canvas, look: Look) -> None:
    """A small castle of wooden blocks."""
    canvas.stand(398, 150)
    blocks = (
        (box(96, 318, 176, 396, 6), look.main),
        (box(304, 318, 384, 396, 6), look.trim),
        (box(180, 318, 300, 396, 6), WOOD),
        (box(112, 240, 168, 314, 6), WOOD),
        (box(312, 240, 368, 314, 6), look.accent),
        (box(172, 286, 308, 314, 5), look.accent),
        (box(196, 206, 284, 282, 6), look.main),
        (soft([(96, 236), (184, 236), (140, 168)], 6), look.accent),
        (soft([(296, 236), (384, 236), (340, 168)], 6), look.main),
        (box(214, 160, 266, 202, 5), look.trim),
        (soft([(200, 156), (280, 156), (240, 84)], 6), "#d2573f"),
    )
    for shape, colour in blocks:
        canvas.fill(shape, colour, "down", depth=1.0)
        canvas.line([*shape, shape[0]], 2, lighter(colour, 0.4), inside=shape, alpha=0.7)
    canvas.fill([*arc(240, 372, 34, 34, 180, 360), (274, 396), (206, 396)], darker(WOOD, 0.5), "down")
    canvas.fill(oval(240, 244, 19), lighter(look.main, 0.5), "ball", depth=0.6)
    canvas.line([(240, 86), (240, 52)], 4, INK)
    canvas.fill([(240, 52), (276, 62), (240, 74)], "#f2c23f")


def ring_stacker(canvas: Canvas, look: Look) -> None:
    """Coloured rings on a peg; the style `rainbow` is a set of nested wooden arches."""
    canvas.stand(396, 122)
    hues = (look.main, look.trim, look.accent, "#e9b44c", "#7d9a6a")
    if look.style == "rainbow":
        for place, radius in enumerate(range(166, 40, -28)):
            canvas.fill(
                [*arc(240, 344, radius, radius * 1.35, 180, 360), (240 + radius, 396), (240 - radius, 396)],
                hues[place],
                "round",
                depth=1.1,
            )
            canvas.line(
                [(240 - radius + 6, 396), *arc(240, 344, radius - 4, radius * 1.35 - 4, 182, 300)], 3, WHITE, alpha=0.35
            )
        canvas.fill([*arc(240, 344, 27, 36, 180, 360), (267, 396), (213, 396)], "#fdf6e8", "down", depth=0.3)
        return
    canvas.fill(box(228, 92, 252, 380, 10), WOOD, "round")
    canvas.fill(oval(240, 88, 30), "#d2573f", "ball", depth=1.2)
    for place in range(5):
        half, y = 62 + place * 16, 122 + place * 50
        ring = box(240 - half, y, 240 + half, y + 50, 25)
        canvas.fill(ring, hues[place], "round", depth=1.15)
        canvas.sheen(box(240 - half + 22, y + 9, 240 - 10, y + 16, 4), ring, 0.4)
    canvas.fill(box(116, 372, 364, 398, 12), WOOD, "round")


def toy_boat(canvas: Canvas, look: Look) -> None:
    """A sailing boat on two waves."""
    canvas.line([(240, 60), (240, 330)], 10, WOOD)
    sail = [(252, 74), *bezier((252, 74), (352, 150), (384, 230), (384, 288)), (252, 288)]
    canvas.fill(sail, look.trim, "round", depth=0.7)
    for y in (166, 214):
        canvas.line([(252, y), (400, y + 6)], 11, look.main, inside=sail)
    jib = [(228, 96), *bezier((228, 96), (160, 180), (120, 240), (112, 288)), (228, 288)]
    canvas.fill(jib, look.accent, "round", depth=0.9)
    canvas.fill([(240, 42), (290, 54), (240, 70)], "#d2573f")
    hull = [
        (74, 308),
        (406, 308),
        *bezier((406, 308), (380, 392), (330, 396), (240, 396)),
        *bezier((240, 396), (140, 396), (110, 380), (74, 308)),
    ]
    canvas.fill(hull, look.main, "down", depth=1.25)
    canvas.fill(box(60, 322, 420, 338), look.trim, inside=hull)
    canvas.fill(box(66, 298, 414, 316, 8), WOOD, "round")
    for x in (160, 240, 320):
        canvas.fill(oval(x, 360, 12), CREAM)
        canvas.fill(oval(x, 360, 8), "#5f97ad")
    for y, tone, shift in ((384, 0.0, 0), (402, 0.22, 1)):
        crest = smooth([(64 + step * 27.1, y + (9 if (step + shift) % 2 else -7)) for step in range(14)], closed=False)
        sea = [*crest, *bezier(crest[-1], (crest[-1][0], y + 44), (300, y + 44), (240, y + 44))]
        sea += bezier((240, y + 44), (180, y + 44), (crest[0][0], y + 44), crest[0])
        canvas.fill(sea, lighter("#5f97ad", tone), alpha=0.92)


def rocket(canvas: Canvas, look: Look) -> None:
    """A tin rocket at take-off."""

    def lay(shape: Shape) -> Shape:
        return turned(shape, 18)

    for tip, width, colour in ((446, 74, "#f29a3f"), (424, 50, "#f7c653"), (398, 28, "#fff3c9")):
        canvas.fill(lay(leaf((240, 334), (240, tip), width)), colour)
    for fin in both(soft([(196, 236), (134, 300), (138, 362), (204, 326)], [0, 26, 8, 0])):
        canvas.fill(lay(fin), look.trim, "round", depth=1.1)
    hull = [
        *bezier((240, 44), (170, 110), (168, 240), (196, 334)),
        *bezier((284, 334), (312, 240), (310, 110), (240, 44)),
    ]
    canvas.fill(lay(hull), look.main, "round", depth=1.15)
    nose = lay(box(150, 30, 330, 122))
    canvas.fill(nose, look.trim, "round", inside=lay(hull))
    canvas.fill(lay(box(150, 300, 330, 316)), look.accent, "round", inside=lay(hull))
    canvas.fill(lay(box(196, 328, 284, 348, 6)), INK, "round")
    canvas.fill(lay(oval(240, 186, 42)), look.accent, "ball")
    canvas.fill(lay(oval(240, 186, 31)), "#bfe0ea", "ball", depth=0.9)
    canvas.sheen(turned(oval(250, 168, 7, 14), 40, (250, 168)), alpha=0.7)
    canvas.fill(lay(leaf((240, 268), (240, 350), 22)), look.trim, "round")
    for x, y, size in ((96, 110, 13), (372, 300, 11), (128, 250, 8), (384, 120, 9)):
        for turn in (0, 90):
            canvas.fill(turned(leaf((x - size, y), (x + size, y), size * 0.7), turn, (x, y)), "#f2c23f")


def kite(canvas: Canvas, look: Look) -> None:
    """A diamond kite with ribbons on its tail."""
    tail = smooth([(186, 320), (160, 360), (206, 384), (190, 424), (250, 440), (300, 420)], closed=False)
    canvas.line(tail, 4, INK)
    diamond = [(262, 46), (382, 168), (186, 322), (120, 130)]
    centre = (232, 152)
    for place, colour in enumerate((look.trim, look.main, look.accent, lighter(look.main, 0.3))):
        canvas.fill([diamond[place], diamond[(place + 1) % 4], centre], colour, "down", depth=0.7)
    for start, end in ((diamond[0], diamond[2]), (diamond[1], diamond[3])):
        canvas.line([start, centre, end], 5, WOOD)
    for step, colour in ((14, look.main), (30, look.trim), (44, look.accent)):
        x, y = tail[step]
        for side in (-1, 1):
            canvas.fill(soft([(x, y), (x + side * 30, y - 17), (x + side * 30, y + 15)], [2, 6, 6]), colour, "round")
        canvas.fill(oval(x, y, 6), darker(colour, 0.2))


def spinning_top(canvas: Canvas, look: Look) -> None:
    """A humming top with a knob to push."""
    canvas.stand(408, 44)

    def lay(shape: Shape) -> Shape:
        return turned(shape, 7, (240, 404))

    canvas.fill(lay(lathe([(9, 90), (9, 176)])), STEEL, "round", depth=1.2)
    canvas.fill(lay(lathe([(7, 48), (30, 56), (34, 78), (16, 98)], curved=True)), "#d2573f", "ball", depth=1.2)
    body = lay(lathe([(14, 166), (74, 182), (130, 224), (142, 252), (112, 304), (46, 368), (6, 404)], curved=True))
    canvas.fill(body, look.main, "round", depth=1.25)
    for top, bottom, colour in ((196, 216, look.trim), (240, 268, look.accent), (300, 318, look.trim)):
        belt = [
            *bezier((80, top), (160, top + 22), (320, top + 22), (400, top)),
            *bezier((400, bottom), (320, bottom + 22), (160, bottom + 22), (80, bottom)),
        ]
        canvas.fill(lay(belt), colour, "round", inside=body, depth=1.25)
    for x in range(112, 380, 36):
        y = 268 - ((x - 240) / 160) ** 2 * 14
        canvas.fill(lay(oval(x, y, 7)), lighter(look.main, 0.5), inside=body)
    canvas.sheen(lay(smooth([(140, 236), (168, 206), (196, 194), (180, 216), (156, 244)])), body, 0.4)
    for reach in (150, 176):
        for start in (150, 330):
            canvas.line(arc(240, 392, reach * 0.62, 22, start, start + 60), 4, WHITE, alpha=0.8)


def xylophone(canvas: Canvas, look: Look) -> None:
    """Seven coloured bars and two mallets."""
    about = (240, 250)
    for y0, y1 in ((186, 214), (316, 288)):
        canvas.line(turned([(74, y0), (410, y1)], -8, about), 17, WOOD)
    hues = (look.main, "#e8893f", "#f2c23f", "#7fb069", look.trim, look.accent, "#8a6fae")
    for place, hue in enumerate(hues):
        x, half = 82 + place * 47, 122 - place * 10
        bar = turned(box(x, 251 - half, x + 38, 251 + half, 10), -8, about)
        canvas.shade(moved(bar, 4, 6), alpha=0.16)
        canvas.fill(bar, hue, "round", depth=1.0)
        for y in (251 - half + 24, 251 + half - 24):
            canvas.fill(turned(oval(x + 19, y, 5), -8, about), CREAM, "ball")
    for tip, end in (((178, 238), (330, 410)), ((292, 226), (428, 366))):
        canvas.line([(tip[0] + 6, tip[1] + 9), (end[0] + 6, end[1] + 9)], 9, INK, alpha=0.16)
        canvas.line([tip, end], 9, lighter(WOOD, 0.2))
        canvas.fill(oval(*tip, 19), "#d2573f", "ball", depth=1.2)


def toy_car(canvas: Canvas, look: Look) -> None:
    """A wooden car; the style `van` is a camper, any other a small saloon."""
    canvas.stand(370, 160)
    if look.style == "van":
        body = soft([(78, 142), (376, 142), (412, 240), (412, 344), (72, 344)], [34, 44, 20, 26, 26])
        canvas.fill(body, look.main, "down", depth=1.1)
        canvas.fill(box(60, 248, 430, 350), look.trim, "down", inside=body)
        canvas.line([(60, 248), (430, 248)], 8, CREAM, inside=body)
        for left, right in ((102, 172), (186, 256), (270, 326)):
            canvas.fill(box(left, 168, right, 224, 10), "#cfe3ea", "down")
            canvas.sheen(
                [(left + 12, 224), (left + 28, 224), (left + 48, 168), (left + 32, 168)],
                box(left, 168, right, 224, 10),
                0.6,
            )
        canvas.fill(soft([(340, 168), (372, 168), (394, 224), (340, 224)], 8), "#cfe3ea", "down")
        canvas.line([(264, 252), (264, 340)], 3, darker(look.trim, 0.3))
        canvas.fill(box(108, 106, 330, 128, 8), look.accent, "down")
        for x in (136, 302):
            canvas.line([(x, 126), (x, 146)], 7, INK)
    else:
        cabin = soft([(150, 250), (188, 154), (302, 154), (350, 250)], [0, 34, 40, 0])
        canvas.fill(cabin, look.main, "down", depth=1.1)
        for pane in (
            soft([(182, 240), (204, 178), (240, 178), (240, 240)], 8),
            soft([(254, 240), (254, 178), (292, 178), (322, 240)], 8),
        ):
            canvas.fill(pane, "#cfe3ea", "down")
        body = soft([(72, 238), (408, 238), (416, 338), (64, 338)], [52, 56, 26, 26])
        canvas.fill(body, look.main, "down", depth=1.1)
        canvas.fill(box(60, 276, 420, 292), look.trim, inside=body)
        canvas.line([(247, 246), (247, 330)], 3, darker(look.main, 0.35))
        canvas.line([(262, 262), (282, 262)], 6, look.accent)
    canvas.fill(oval(402, 278, 12, 15), "#f7d774", "ball")
    canvas.fill(box(58, 326, 422, 344, 8), STEEL, "down")
    for x in (146, 336):
        wheel(canvas, x, 338, 43, look.accent, BRASS)


DRAWINGS = {
    "teddy": teddy,
    "toy_train": toy_train,
    "building_blocks": building_blocks,
    "ring_stacker": ring_stacker,
    "toy_boat": toy_boat,
    "rocket": rocket,
    "kite": kite,
    "spinning_top": spinning_top,
    "xylophone": xylophone,
    "toy_car": toy_car,
}

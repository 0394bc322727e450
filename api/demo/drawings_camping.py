"""Drawings of what one takes outdoors for a night: every kind of product under Outdoor/Camping."""

from __future__ import annotations

from api.demo.canvas import BRASS, CREAM, DARK_WOOD, INK, STEEL, WHITE, WOOD, Canvas, Look, darker, lighter
from api.demo.shapes import arc, bezier, both, box, leaf, moved, oval, smooth, soft, turned


def tent(canvas: Canvas, look: Look) -> None:
    """A tent seen from the front; the style `dome` is rounded, any other a ridge tent."""
    canvas.stand(368, 176)
    for guy in both([(118, 232), (52, 366)]):
        canvas.line(guy, 3, INK, alpha=0.6)
    if look.style == "dome":
        hull = bezier((70, 366), (92, 60), (388, 60), (410, 366))
        flap = bezier((180, 366), (190, 168), (290, 168), (300, 366))
        curtain = smooth([(214, 226), (196, 280), (200, 320), (170, 366), (186, 366), (212, 320)])
        canvas.line(bezier((62, 370), (84, 47), (396, 47), (418, 370)), 6, look.accent)
    else:
        hull = soft([(240, 92), (424, 366), (56, 366)], [10, 8, 8])
        flap = [(240, 122), (318, 366), (162, 366)]
        curtain = smooth([(238, 128), (206, 250), (196, 306), (148, 366), (176, 368), (204, 320)])
        canvas.line([(240, 66), (240, 120)], 7, look.accent)
    canvas.fill(hull, look.main, "round", depth=1.25)
    canvas.fill(box(50, 344, 430, 380), look.trim, "round", inside=hull)
    if look.style == "dome":
        for seam in both(bezier((240, 136), (144, 140), (112, 300), (108, 366))):
            canvas.line(seam, 4, darker(look.main, 0.25), inside=hull)
    canvas.fill(flap, "#3c3440", "down")
    canvas.shine(240, 348, 96, "#ffd98f", flap, 0.85)
    for side in both(curtain):
        canvas.fill(side, lighter(look.main, 0.22), "round")
    for peg in both([(44, 358), (50, 372)]):
        canvas.line(peg, 5, DARK_WOOD)


def sleeping_bag(canvas: Canvas, look: Look) -> None:
    """A mummy-shaped sleeping bag; the style `rolled` shows it packed."""
    if look.style == "rolled":
        canvas.stand(360, 140)
        roll = box(96, 184, 384, 360, 70)
        canvas.fill(roll, look.main, "down", depth=1.3)
        for y in (222, 258, 294, 328):
            canvas.line(
                bezier((96, y), (200, y + 6), (300, y + 6), (384, y)),
                2.5,
                darker(look.main, 0.3),
                inside=roll,
                alpha=0.6,
            )
        canvas.fill(oval(346, 272, 42, 86), darker(look.main, 0.12), "ball")
        spiral = [(346 + (34 - t * 0.75) * 0.56 * _cos(t * 26), 272 + (78 - t * 1.7) * _sin(t * 26)) for t in range(42)]
        canvas.line(spiral, 5, look.trim)
        for x in (152, 262):
            strap = box(x, 182, x + 22, 362, 0)
            canvas.fill(strap, look.accent, "down", inside=roll)
            canvas.fill(box(x - 4, 258, x + 26, 284, 4), STEEL, "round")
        canvas.line(arc(218, 184, 66, 30, 185, 355), 9, look.accent)
        return
    bag = smooth(
        [
            (240, 54),
            (316, 88),
            (334, 190),
            (312, 330),
            (286, 418),
            (240, 432),
            (194, 418),
            (168, 330),
            (146, 190),
            (164, 88),
        ]
    )
    bag = turned(bag, 14)
    canvas.fill(bag, look.main, "round", depth=1.15)
    for y in range(176, 430, 38):
        canvas.line(
            turned(bezier((120, y), (200, y + 16), (280, y + 16), (360, y)), 14),
            4,
            darker(look.main, 0.25),
            inside=bag,
            alpha=0.6,
        )
    opening = turned(smooth([(240, 84), (288, 108), (296, 162), (240, 190), (184, 162), (192, 108)]), 14)
    canvas.fill(opening, look.trim, "down")
    canvas.fill(turned(box(204, 106, 276, 154, 22), 14), CREAM, "ball", inside=opening)
    canvas.shade(
        turned([*bezier((184, 150), (210, 178), (270, 178), (300, 150)), (300, 200), (180, 200)], 14), opening, 0.2
    )
    canvas.line(turned([(286, 172), (282, 250), (270, 330)], 14), 6, look.accent)
    canvas.fill(turned(box(276, 246, 290, 270, 5), 14), look.accent)


def _sin(degrees: float) -> float:
    return turned([(1, 0)], degrees, (0, 0))[0][1]


def _cos(degrees: float) -> float:
    return turned([(1, 0)], degrees, (0, 0))[0][0]


def camp_lantern(canvas: Canvas, look: Look) -> None:
    """A storm lantern with a wire handle, lit."""
    canvas.stand(398, 82)
    canvas.glow(240, 256, 180, "#ffd98f", 0.9)
    canvas.line(arc(240, 172, 92, 104, 180, 360), 6, INK)
    for x in (152, 328):
        canvas.line([(x, 176), (x, 350)], 9, darker(look.main, 0.12))
    glass = smooth([(208, 190), (272, 190), (298, 256), (274, 322), (206, 322), (182, 256)])
    canvas.fill(glass, "#fff1cc", "ball", alpha=0.9, depth=0.5)
    canvas.shine(240, 268, 74, "#ffc861", glass, 0.95)
    canvas.fill(leaf((240, 314), (240, 232), 42), "#ff9f43")
    canvas.fill(leaf((240, 312), (240, 264), 22), "#fff3c9")
    canvas.fill(soft([(196, 150), (284, 150), (300, 194), (180, 194)], 10), look.main, "round")
    canvas.fill(soft([(212, 112), (268, 112), (280, 152), (200, 152)], 10), look.main, "round")
    for y in (124, 138):
        canvas.line([(220, y), (260, y)], 4, darker(look.main, 0.4))
    canvas.fill(box(144, 170, 336, 188, 8), darker(look.main, 0.14), "round")
    canvas.fill(box(176, 316, 304, 336, 7), darker(look.main, 0.14), "round")
    tank = box(142, 332, 338, 398, 22)
    canvas.fill(tank, look.main, "round", depth=1.15)
    canvas.fill(oval(302, 344, 12), BRASS, "ball")
    canvas.sheen(box(162, 346, 172, 384, 5), tank, 0.4)


def camp_stove(canvas: Canvas, look: Look) -> None:
    """A gas stove with a small pot on the flame."""
    canvas.stand(404, 92)
    tank = soft([(164, 326), (316, 326), (330, 404), (150, 404)], [30, 30, 16, 16])
    canvas.fill(tank, look.main, "round", depth=1.2)
    canvas.fill(box(140, 354, 340, 378), look.trim, "round", inside=tank)
    canvas.fill(box(218, 290, 262, 330, 6), BRASS, "round")
    canvas.line([(262, 308), (312, 308)], 6, STEEL)
    canvas.fill(oval(320, 308, 13), look.accent, "ball")
    for prong in both([(232, 300), (164, 288), (150, 250)]):
        canvas.line(prong, 8, INK)
    canvas.fill(box(204, 272, 276, 294, 7), INK, "round")
    for x in range(200, 290, 16):
        canvas.fill(leaf((x, 274), (x, 238), 13), "#4aa3d8", alpha=0.9)
        canvas.fill(leaf((x, 274), (x, 254), 7), "#d5f0ff")
    pot = soft([(138, 128), (342, 128), (334, 246), (146, 246)], [0, 0, 20, 20])
    canvas.line([(340, 150), (426, 138)], 11, INK)
    canvas.fill(pot, STEEL, "round", depth=1.25)
    canvas.fill(box(130, 118, 350, 134, 7), lighter(STEEL, 0.2), "round")
    canvas.fill(bezier((136, 120), (160, 84), (320, 84), (344, 120)), STEEL, "round")
    canvas.fill(oval(240, 88, 13), INK, "ball")
    canvas.sheen(box(164, 148, 174, 226, 5), pot, 0.5)


def camp_chair(canvas: Canvas, look: Look) -> None:
    """A folding chair of canvas and wood."""
    canvas.stand(402, 120)
    for start, end, tone in (((322, 250), (148, 398), 0.28), ((158, 250), (332, 398), 0.0)):
        canvas.line([start, end], 15, darker(look.trim, tone))
    for x in (140, 340):
        canvas.line([(x, 92), (x + (8 if x < 240 else -8), 262)], 15, look.trim)
    back = soft([(128, 100), (352, 100), (346, 196), (134, 196)], 10)
    canvas.fill(back, look.main, "round", depth=1.1)
    for x in (184, 240, 296):
        canvas.fill(box(x - 9, 90, x + 9, 210), look.accent, inside=back, alpha=0.55)
    seat = soft([(132, 244), (348, 244), (366, 284), (114, 284)], 10)
    canvas.fill(seat, lighter(look.main, 0.08), "round")
    canvas.fill(soft([(114, 274), (366, 274), (362, 306), (118, 306)], 8), darker(look.main, 0.14), "round")
    for x in (118, 362):
        canvas.fill(box(x - 32, 212, x + 32, 228, 7), lighter(look.trim, 0.1), "round")
        canvas.line([(x, 226), (x, 284)], 10, darker(look.trim, 0.1))
    for x in (148, 332):
        canvas.fill(oval(x, 398, 9), INK)


def thermos(canvas: Canvas, look: Look) -> None:
    """A vacuum flask with its cup for a lid and a handle."""
    canvas.stand(408, 58)
    canvas.line(soft([(286, 196), (352, 202), (348, 330), (288, 330)], [0, 26, 26, 0]), 14, look.accent)
    body = soft([(176, 168), (304, 168), (304, 408), (176, 408)], [34, 34, 14, 14])
    canvas.fill(body, look.main, "round", depth=1.25)
    canvas.fill(box(160, 384, 320, 410), STEEL, "round", inside=body)
    canvas.fill(box(192, 150, 288, 174, 4), STEEL, "round")
    cup = soft([(188, 78), (292, 78), (298, 152), (182, 152)], [16, 16, 4, 4])
    canvas.fill(cup, look.trim, "round", depth=1.2)
    canvas.fill(box(180, 140, 300, 148), darker(look.trim, 0.2), "round", inside=cup)
    if look.style == "peaks":
        ridge = [(160, 340), (206, 262), (232, 302), (262, 244), (320, 340)]
        canvas.fill([*ridge, (320, 350), (160, 350)], look.trim, "round", inside=body)
        for x, y in ((206, 262), (262, 244)):
            canvas.fill([(x, y), (x + 13, y + 24), (x + 2, y + 18), (x - 12, y + 24)], WHITE, inside=body)
    else:
        for y in (238, 252):
            canvas.fill(box(160, y, 320, y + 7), look.trim, "round", inside=body)
    canvas.sheen(box(194, 206, 204, 368, 5), body, 0.4)


def hammock(canvas: Canvas, look: Look) -> None:
    """A striped hammock between two trunks."""
    for x in (22, 426):
        trunk = [(x, -10), (x + 32, -10), (x + 40, 490), (x - 8, 490)]
        canvas.fill(trunk, DARK_WOOD, "round", depth=1.2)
        for y in (60, 130, 300, 380):
            canvas.line([(x + 10, y), (x + 14, y + 34)], 4, darker(DARK_WOOD, 0.35), inside=trunk)
        canvas.fill(box(x - 3, 166, x + 37, 182, 4), CREAM)
    for y in (186, 206, 232):
        for rope in both([(58, 174), (104, y)]):
            canvas.line(rope, 3.5, CREAM)
    hem = bezier((100, 184), (160, 262), (320, 262), (380, 184))
    cloth = hem + bezier((380, 238), (350, 368), (130, 368), (100, 238))
    canvas.fill(cloth, look.main, "down", depth=1.2)
    for place, x in enumerate(range(112, 380, 32)):
        foot = 240 + (x - 240) * 0.8
        canvas.line(
            bezier((x, 176), (x, 240), (foot, 300), (foot, 372)), 11, (look.trim, look.accent)[place % 2], inside=cloth
        )
    canvas.shade(hem + bezier((380, 184), (330, 292), (150, 292), (100, 184)), cloth, 0.24)
    for x in (100, 380):
        canvas.fill(box(x - 6, 176, x + 6, 246, 5), WOOD, "round")
    for x in range(156, 330, 12):
        hem_y = 337 - ((x - 240) / 90) ** 2 * 14
        canvas.line([(x, hem_y - 4), (x, hem_y + 20)], 3.5, look.trim)


def compass(canvas: Canvas, look: Look) -> None:
    """A pocket compass with its needle to the north-east."""
    canvas.line(oval(240, 66, 24), 9, look.main)
    canvas.fill(box(222, 84, 258, 118, 6), darker(look.main, 0.15), "round")
    canvas.fill(oval(240, 258, 152), look.main, "ball", depth=1.25)
    canvas.fill(oval(240, 258, 126), darker(look.main, 0.35))
    face = oval(240, 260, 121)
    canvas.fill(face, look.trim, "ball", depth=0.35)
    for step in range(24):
        mark = box(238, 148, 242, 166 if step % 6 == 0 else 158, 1)
        canvas.fill(turned(mark, step * 15, (240, 260)), INK, alpha=0.8 if step % 6 == 0 else 0.45)
    for step in range(4):
        star = [(240, 182), (254, 246), (240, 260), (226, 246)]
        canvas.fill(turned(star, step * 90, (240, 260)), "#c9bda4", alpha=0.6)
    for degrees, colour in ((34, "#d2503f"), (214, "#3c4a55")):
        canvas.fill(turned([(240, 162), (256, 260), (224, 260)], degrees, (240, 260)), colour)
        canvas.fill(turned([(240, 162), (240, 260), (224, 260)], degrees, (240, 260)), lighter(colour, 0.22))
    canvas.fill(oval(240, 260, 12), BRASS, "ball")
    canvas.sheen(
        moved(
            bezier((146, 236), (160, 170), (220, 146), (262, 150))
            + bezier((262, 150), (220, 170), (176, 200), (146, 236)),
            8,
            6,
        ),
        face,
        0.4,
    )


DRAWINGS = {
    "tent": tent,
    "sleeping_bag": sleeping_bag,
    "camp_lantern": camp_lantern,
    "camp_stove": camp_stove,
    "camp_chair": camp_chair,
    "thermos": thermos,
    "hammock": hammock,
    "compass": compass,
}

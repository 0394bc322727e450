"""Drawings of what one listens with: every kind of product under Work/Audio."""

from __future__ import annotations

import math

from api.demo.canvas import BLACK, BRASS, CREAM, INK, STEEL, WHITE, Canvas, Look, darker, lighter
from api.demo.shapes import arc, bezier, both, box, moved, oval, soft, turned


def headphones(canvas: Canvas, look: Look) -> None:
    """Headphones from the front; the style `slim` has a thin band of steel and smaller cups."""
    slim = look.style == "slim"
    band = bezier((126, 282), (104, 36), (376, 36), (354, 282))
    canvas.line(band, 12 if slim else 26, STEEL if slim else look.main)
    canvas.line(
        moved(band[4:21], 0, 8 if slim else 2), 22 if slim else 10, look.trim if slim else lighter(look.main, 0.2)
    )
    width, top, bottom = (50, 236, 366) if slim else (62, 216, 384)
    for yoke in both([(126, 214), (118, 262)]):
        canvas.line(yoke, 14, STEEL)
    for pad in both(box(138, top + 6, 138 + width * 0.6, bottom - 6, 22)):
        canvas.fill(pad, look.accent, "round")
    outer = 134 - width + 14
    for cup in both(soft([(outer, top), (142, top), (142, bottom), (outer, bottom)], [44, 14, 14, 44])):
        canvas.fill(cup, look.main, "round", depth=1.25)
    for stripe in both(box(100, top + 30, 108, bottom - 30, 4)):
        canvas.fill(stripe, look.trim)
    canvas.sheen(box(116, top + 26, 124, bottom - 60, 4), alpha=0.35)


def bookshelf_speaker(canvas: Canvas, look: Look) -> None:
    """A wooden box with a tweeter and a woofer."""
    canvas.stand(404, 106)
    canvas.fill(soft([(330, 74), (364, 88), (364, 394), (330, 404)], 2), darker(look.main, 0.42))
    case = box(132, 72, 336, 404, 12)
    canvas.fill(case, look.main, "down")
    for x in (150, 176, 214, 262, 298, 322):
        canvas.line(
            bezier((x, 72), (x + 8, 180), (x - 8, 290), (x + 4, 404)),
            2,
            darker(look.main, 0.3),
            inside=case,
            alpha=0.35,
        )
    front = box(146, 86, 322, 390, 8)
    canvas.fill(front, look.accent, "down")
    for y, radius in ((150, 40), (284, 72)):
        canvas.fill(oval(234, y, radius + 8), darker(look.accent, 0.5))
        canvas.fill(oval(234, y, radius), look.trim, "ball", depth=1.2)
        canvas.line(oval(234, y, radius - 10), 5, darker(look.trim, 0.3))
        canvas.fill(oval(234, y, radius * 0.36), darker(look.trim, 0.45), "ball", depth=1.2)
        for turn in range(4):
            canvas.fill(turned(oval(234, y - radius - 4, 2.6), 45 + turn * 90, (234, y)), STEEL)
    canvas.fill(oval(302, 374, 4), "#79d0a0")


def portable_speaker(canvas: Canvas, look: Look) -> None:
    """A small round speaker with a strap."""
    canvas.stand(376, 122)
    canvas.line(bezier((350, 176), (436, 186), (430, 320), (372, 300)), 12, look.accent)
    body = soft([(116, 138), (364, 138), (376, 372), (104, 372)], 66)
    canvas.fill(body, look.main, "round", depth=1.2)
    for row in range(14):
        for column in range(16):
            x, y = 118 + column * 17 + (8.5 if row % 2 else 0), 190 + row * 13
            canvas.fill(oval(x, y, 3.1), darker(look.main, 0.35), inside=body, alpha=0.75)
    canvas.fill(box(90, 138, 390, 180), lighter(look.main, 0.14), "round", inside=body)
    canvas.fill(box(90, 344, 390, 376), darker(look.main, 0.3), "round", inside=body)
    for x in (192, 240, 288):
        canvas.fill(oval(x, 159, 8), darker(look.main, 0.25))
    canvas.fill(box(196, 266, 284, 298, 6), look.trim, "round")
    canvas.line([(214, 282), (266, 282)], 5, look.accent)


def turntable(canvas: Canvas, look: Look) -> None:
    """A record player from above, a record on it."""
    canvas.shade(box(78, 110, 410, 392, 18), alpha=0.12)
    deck = box(70, 98, 410, 382, 18)
    canvas.fill(deck, look.main, "down")
    for y in (128, 172, 236, 290, 346):
        canvas.line(
            bezier((70, y), (180, y + 12), (300, y - 10), (410, y + 4)),
            2,
            darker(look.main, 0.3),
            inside=deck,
            alpha=0.4,
        )
    canvas.fill(oval(206, 242, 126), STEEL, "ball")
    canvas.fill(oval(206, 240, 120), "#22252a")
    for radius in range(52, 118, 9):
        canvas.line(oval(206, 240, radius), 1.4, WHITE, alpha=0.13)
    for turn in (0, 180):
        canvas.fill(turned([(206, 240), (318, 214), (322, 236)], turn - 36, (206, 240)), WHITE, alpha=0.12)
    canvas.fill(oval(206, 240, 42), look.trim, "ball", depth=0.7)
    canvas.line(oval(206, 240, 30), 3, lighter(look.trim, 0.4))
    canvas.fill(oval(206, 240, 5), CREAM)
    canvas.fill(oval(364, 142, 27), STEEL, "ball", depth=1.2)
    arm = soft([(364, 142), (372, 262), (306, 308)], [0, 46, 0])
    canvas.line(moved(arm, 5, 7), 8, BLACK, alpha=0.22)
    canvas.line(arm, 8, "#e3e8ea")
    canvas.fill(turned(box(284, 296, 316, 318, 4), -34, (300, 308)), INK)
    canvas.fill(oval(364, 142, 11), INK, "ball")
    canvas.fill(box(356, 326, 392, 340, 6), INK)
    canvas.fill(oval(98, 356, 12), look.accent, "ball")


def earbuds(canvas: Canvas, look: Look) -> None:
    """Two wireless buds above their open case."""
    canvas.stand(392, 96)
    lid = box(142, 214, 338, 300, 42)
    canvas.fill(lid, darker(look.main, 0.1), "round", depth=1.1)
    canvas.fill(box(156, 232, 324, 296, 30), darker(look.main, 0.34))
    case = box(134, 284, 346, 392, 48)
    for tip in both(turned(oval(214, 124, 19, 17), 20, (214, 124))):
        canvas.fill(tip, look.accent, "ball")
    for stem in both(turned(box(172, 140, 198, 246, 13), 8, (182, 138))):
        canvas.fill(stem, look.main, "round")
    for bud in both(oval(182, 138, 38, 34)):
        canvas.fill(bud, look.main, "ball")
    for dot in both(oval(172, 134, 9)):
        canvas.fill(dot, look.trim, "ball")
    canvas.fill(case, look.main, "round", depth=1.2)
    canvas.line([(150, 290), (330, 290)], 4, darker(look.main, 0.35))
    canvas.fill(oval(240, 340, 6), "#79d0a0")
    canvas.sheen(box(164, 310, 173, 362, 5), case, 0.4)


def radio(canvas: Canvas, look: Look) -> None:
    """A kitchen radio with an aerial, a dial and a handle."""
    canvas.stand(380, 150)
    canvas.line([(350, 170), (416, 44)], 5, STEEL)
    canvas.fill(oval(416, 44, 7), STEEL, "ball")
    canvas.line(soft([(132, 184), (132, 124), (348, 124), (348, 184)], [0, 26, 26, 0]), 15, look.trim)
    body = box(80, 170, 400, 380, 36)
    canvas.fill(body, look.main, "round", depth=1.15)
    canvas.fill(box(92, 182, 388, 368, 28), lighter(look.main, 0.1), "round", depth=0.7)
    grille = box(110, 204, 258, 346, 20)
    canvas.fill(grille, look.accent, "round", depth=0.8)
    for y in range(216, 344, 12):
        canvas.line([(118, y), (250, y)], 4, darker(look.accent, 0.4), inside=grille)
    canvas.fill(box(276, 204, 372, 262, 10), CREAM, "down", depth=0.5)
    for x in range(286, 370, 9):
        canvas.line([(x, 214), (x, 232 if x % 2 else 224)], 2, INK, alpha=0.7)
    canvas.line([(332, 210), (332, 256)], 3.5, "#d2503f")
    for x in (298, 350):
        canvas.fill(oval(x, 310, 27), darker(look.main, 0.28))
        canvas.fill(oval(x, 308, 24), look.trim, "ball", depth=1.2)
        canvas.line([(x, 308), (x + 9, 293)], 4, INK)
    for x in (126, 354):
        canvas.fill(box(x - 16, 376, x + 16, 388, 4), INK)


def microphone(canvas: Canvas, look: Look) -> None:
    """A microphone on a desk stand."""
    canvas.stand(410, 84)
    canvas.fill(arc(240, 410, 86, 30, 180, 360), look.accent, "round")
    canvas.line([(240, 388), (240, 330)], 12, STEEL)
    canvas.line(arc(240, 226, 96, 112, 12, 168), 11, look.accent)
    for knob in both(oval(145, 250, 13)):
        canvas.fill(knob, look.accent, "ball")
    body = box(172, 68, 308, 316, 62)
    canvas.fill(body, look.main, "round", depth=1.2)
    head = soft([(172, 68), (308, 68), (308, 196), (172, 196)], [62, 62, 0, 0])
    canvas.fill(head, "#a9b1b7", "round", depth=1.2)
    for step in range(-14, 30):
        canvas.line([(150 + step * 12, 60), (250 + step * 12, 200)], 1.6, INK, inside=head, alpha=0.45)
        canvas.line([(250 + step * 12, 60), (150 + step * 12, 200)], 1.6, INK, inside=head, alpha=0.45)
    canvas.fill(box(164, 190, 316, 210, 5), look.trim, "round")
    canvas.fill(oval(240, 252, 15), look.trim, "ball")
    canvas.sheen(box(188, 226, 197, 288, 5), body, 0.4)


def metronome(canvas: Canvas, look: Look) -> None:
    """A wooden metronome, its arm swung to the right."""
    canvas.stand(398, 108)
    case = soft([(206, 72), (274, 72), (344, 388), (136, 388)], [12, 12, 10, 10])
    canvas.fill(case, look.main, "round", depth=1.15)
    face = soft([(212, 104), (268, 104), (306, 318), (174, 318)], 8)
    canvas.fill(face, look.trim, "round", depth=0.5)
    for step in range(9):
        reach = 12 + step * 2.5
        canvas.line(
            [(240 - reach, 128 + step * 20), (240 + reach, 128 + step * 20)], 2.6, darker(look.trim, 0.45), alpha=0.7
        )
    canvas.fill(box(122, 380, 358, 400, 6), darker(look.main, 0.28), "round")
    angle = math.radians(17)
    foot, tip = (240.0, 326.0), (240 + 262 * math.sin(angle), 326 - 262 * math.cos(angle))
    canvas.line([(foot[0] + 5, foot[1] + 4), (tip[0] + 5, tip[1] + 4)], 6, BLACK, alpha=0.18)
    canvas.line([foot, tip], 6, STEEL)
    weight = (240 + 158 * math.sin(angle), 326 - 158 * math.cos(angle))
    canvas.fill(
        turned(
            soft(
                [
                    (weight[0] - 22, weight[1] - 17),
                    (weight[0] + 22, weight[1] - 17),
                    (weight[0] + 15, weight[1] + 17),
                    (weight[0] - 15, weight[1] + 17),
                ],
                3,
            ),
            17,
            weight,
        ),
        BRASS,
        "round",
    )
    canvas.fill(box(170, 322, 310, 336, 4), darker(look.main, 0.2), "round")
    canvas.fill(oval(240, 358, 13), BRASS, "ball")
    canvas.line([(344, 346), (366, 346)], 8, BRASS)
    canvas.fill(box(362, 330, 374, 362, 5), BRASS, "round")


DRAWINGS = {
    "headphones": headphones,
    "bookshelf_speaker": bookshelf_speaker,
    "portable_speaker": portable_speaker,
    "turntable": turntable,
    "earbuds": earbuds,
    "radio": radio,
    "microphone": microphone,
    "metronome": metronome,
}

"""Drawings of what one carries things in: every kind of product under Outdoor/Bags."""

from __future__ import annotations

from api.demo.canvas import BRASS, INK, STEEL, Canvas, Look, darker, lighter
from api.demo.shapes import arc, bezier, both, box, leaf, moved, oval, smooth, soft, turned


def backpack(canvas: Canvas, look: Look) -> None:
    """A backpack; the style is `roll` (a rolled top), `trek` (tall, with a mat below) or `city`."""
    canvas.stand(404, 102)
    for strap in both(bezier((158, 160), (96, 190), (100, 320), (146, 372))):
        canvas.line(strap, 19, darker(look.main, 0.28))
    if look.style == "trek":
        canvas.fill(box(104, 352, 376, 404, 26), look.accent, "down")
        canvas.line(oval(364, 378, 6, 17), 3, darker(look.accent, 0.35))
    bottom = 372 if look.style == "trek" else 402
    for x in (104, 340):
        canvas.fill(box(x, 262, x + 36, bottom - 22, 16), darker(look.main, 0.2), "round")
    canvas.line(arc(240, 96, 32, 34, 180, 360), 11, darker(look.main, 0.3))
    body = soft([(138, 86), (342, 86), (358, bottom), (122, bottom)], [74, 74, 34, 34])
    canvas.fill(body, look.main, "round", depth=1.15)
    if look.style == "roll":
        canvas.fill(box(132, 92, 348, 138, 18), darker(look.main, 0.08), "down")
        for x in (176, 304):
            canvas.line([(x, 92), (x, 232)], 13, look.trim)
            canvas.fill(box(x - 12, 194, x + 12, 218, 4), BRASS)
    else:
        flap = soft([(138, 84), (342, 84), (350, 218), (130, 218)], [74, 74, 40, 40])
        canvas.shade(moved(flap, 0, 8), body, 0.2)
        canvas.fill(flap, lighter(look.main, 0.07), "round")
        for x in (182, 298) if look.style == "trek" else (240,):
            canvas.line([(x, 176), (x, 258)], 16, look.trim)
            canvas.fill(box(x - 14, 216, x + 14, 242, 4), BRASS)
    pocket = box(156, 268, 324, bottom - 18, 22)
    canvas.fill(pocket, darker(look.main, 0.07), "round")
    canvas.line([(174, 292), (306, 292)], 5, darker(look.main, 0.4))
    canvas.line([(292, 292), (292, 314)], 6, look.trim)
    canvas.fill(box(214, 316, 266, 346, 5), look.trim, "round")


def tote(canvas: Canvas, look: Look) -> None:
    """A cloth bag with long handles, printed in the style `sun` or `leaf`."""
    canvas.stand(400, 112)
    canvas.line(arc(240, 178, 58, 118, 180, 360), 13, darker(look.main, 0.22))
    body = soft([(116, 168), (364, 168), (350, 400), (130, 400)], [4, 4, 16, 16])
    canvas.fill(body, look.main, "round")
    canvas.fill(box(100, 168, 380, 190), darker(look.main, 0.08), "round", inside=body)
    canvas.line(arc(240, 178, 70, 132, 180, 360), 14, look.main)
    for x in (170, 310):
        canvas.fill(box(x - 9, 172, x + 9, 214, 2), darker(look.main, 0.06))
        canvas.line([(x - 6, 178), (x + 6, 208)], 1.8, darker(look.main, 0.4))
        canvas.line([(x + 6, 178), (x - 6, 208)], 1.8, darker(look.main, 0.4))
    if look.style == "sun":
        canvas.fill(oval(240, 300, 44), look.trim)
        for step in range(12):
            canvas.fill(turned(box(235, 228, 245, 246, 4), step * 30, (240, 300)), look.trim)
        for y, bow in ((318, 0), (336, 1), (354, 2)):
            wave = smooth([(176, y), (208, y - 8), (240, y), (272, y + 8), (304, y)], closed=False)
            canvas.line(wave, 7, look.accent if bow else look.main)
    else:
        canvas.line([(240, 382), (240, 240)], 6, look.trim)
        for step in range(5):
            y, reach = 366 - step * 27, 62 - step * 7
            for side in (-1, 1):
                canvas.fill(leaf((240, y), (240 + side * reach, y - 34), 24), look.trim)
        canvas.fill(leaf((240, 256), (240, 210), 20), look.trim)


def duffel(canvas: Canvas, look: Look) -> None:
    """A soft barrel of a bag for a weekend."""
    canvas.stand(376, 150)
    canvas.line(bezier((148, 232), (150, 80), (330, 80), (332, 232)), 14, darker(look.trim, 0.12))
    body = soft([(84, 196), (396, 196), (410, 374), (70, 374)], [58, 58, 44, 44])
    canvas.fill(body, look.main, "down", depth=1.3)
    canvas.line(bezier((96, 214), (180, 204), (300, 204), (384, 214)), 5, darker(look.main, 0.45), inside=body)
    for x in (60, 368):
        canvas.fill(box(x, 180, x + 52, 392, 0), look.trim, "down", inside=body)
    for x in (148, 332):
        canvas.fill(box(x - 13, 196, x + 13, 376, 0), look.trim, "down", inside=body)
        canvas.fill(box(x - 15, 258, x + 15, 276, 3), BRASS)
    canvas.line(bezier((148, 268), (156, 136), (324, 136), (332, 268)), 15, look.trim)
    canvas.fill(box(212, 160, 268, 184, 9), darker(look.trim, 0.25), "down")
    pocket = box(178, 276, 302, 352, 12)
    canvas.fill(pocket, darker(look.main, 0.12), "down")
    canvas.line([(190, 292), (290, 292)], 4, darker(look.main, 0.5))
    canvas.line([(280, 292), (284, 314)], 5, BRASS)


def suitcase(canvas: Canvas, look: Look) -> None:
    """A suitcase; the style `cabin` is on wheels, any other a small trunk with straps and stickers."""
    if look.style == "cabin":
        canvas.stand(416, 92)
        for x in (206, 274):
            canvas.line([(x, 48), (x, 132)], 8, STEEL)
        canvas.fill(box(192, 38, 288, 60, 10), INK, "round")
        for x in (158, 322):
            canvas.fill(oval(x, 404, 14), INK, "ball")
        body = box(132, 112, 348, 400, 32)
        canvas.fill(body, look.main, "round", depth=1.2)
        for x in (168, 204, 240, 276, 312):
            canvas.fill(box(x - 7, 128, x + 7, 384, 7), darker(look.main, 0.12), "round", inside=body)
        canvas.fill(box(198, 124, 282, 140, 6), darker(look.main, 0.4))
        canvas.fill(box(300, 226, 344, 274, 8), look.trim, "round")
        for x, y in ((132, 112), (300, 112), (132, 352), (300, 352)):
            canvas.fill(box(x, y, x + 48, y + 48, 0), look.trim, "round", inside=body, alpha=0.9)
        canvas.sheen(box(148, 166, 156, 330, 4), body, 0.35)
        return
    canvas.stand(384, 146)
    canvas.line(soft([(196, 180), (196, 130), (284, 130), (284, 180)], [0, 20, 20, 0]), 15, look.trim)
    body = box(84, 168, 396, 380, 26)
    canvas.fill(body, look.main, "down", depth=1.2)
    canvas.line([(84, 232), (396, 232)], 5, darker(look.main, 0.4), inside=body)
    for x in (136, 344):
        canvas.fill(box(x - 15, 160, x + 15, 390), look.trim, "down", inside=body)
        canvas.fill(box(x - 18, 220, x + 18, 248, 4), BRASS, "round")
        canvas.fill(box(x - 9, 227, x + 9, 241, 2), darker(look.trim, 0.2))
    for x, y in ((78, 162), (360, 162), (78, 344), (360, 344)):
        canvas.fill(oval(x + 21, y + 21, 34), look.trim, "ball", inside=body)
    canvas.fill(oval(242, 306, 40), look.accent, "ball", depth=0.5)
    canvas.fill([(212, 326), (234, 290), (246, 308), (254, 298), (274, 326)], lighter(look.accent, 0.7))
    canvas.fill(oval(262, 286, 7), lighter(look.accent, 0.7))


def messenger_bag(canvas: Canvas, look: Look) -> None:
    """A shoulder bag with a wide flap and two buckles."""
    canvas.stand(384, 126)
    canvas.line(bezier((118, 218), (90, 18), (390, 18), (362, 218)), 15, darker(look.main, 0.25))
    body = soft([(104, 196), (376, 196), (370, 384), (110, 384)], [18, 18, 26, 26])
    canvas.fill(body, darker(look.main, 0.14), "round")
    flap = soft([(100, 188), (380, 188), (374, 318), (106, 318)], [22, 22, 50, 50])
    canvas.shade(moved(flap, 0, 8), body, 0.22)
    canvas.fill(flap, look.main, "round", depth=1.15)
    seam = soft([(110, 198), (370, 198), (365, 308), (115, 308)], [16, 16, 44, 44])
    canvas.line([*seam, seam[0]], 2, darker(look.main, 0.35), alpha=0.7)
    for x in (168, 312):
        canvas.fill(box(x - 14, 254, x + 14, 352, 6), look.trim, "round")
        canvas.fill(box(x - 19, 298, x + 19, 326, 5), BRASS, "round")
        canvas.fill(box(x - 10, 305, x + 10, 319, 2), darker(look.trim, 0.2))
    for x in (116, 364):
        canvas.fill(box(x - 11, 194, x + 11, 220, 6), BRASS, "round")


def wash_bag(canvas: Canvas, look: Look) -> None:
    """A zipped bag for the bathroom."""
    canvas.stand(362, 128)
    canvas.line(bezier((356, 210), (420, 214), (420, 290), (362, 286)), 12, look.trim)
    body = soft([(112, 176), (368, 176), (384, 362), (96, 362)], [34, 34, 42, 42])
    canvas.fill(body, look.main, "round", depth=1.1)
    canvas.fill(box(80, 300, 400, 370), look.trim, "round", inside=body)
    for x in range(110, 384, 26):
        canvas.line([(x, 300), (x + 14, 362)], 2, darker(look.trim, 0.25), inside=body, alpha=0.5)
    canvas.line([(126, 196), (354, 196)], 11, darker(look.main, 0.35))
    canvas.line([(126, 196), (354, 196)], 4, BRASS)
    canvas.line([(334, 198), (342, 232)], 8, BRASS)
    canvas.fill(box(202, 226, 278, 268, 6), look.trim, "round")
    canvas.line([(216, 247), (264, 247)], 4, look.accent)


DRAWINGS = {
    "backpack": backpack,
    "tote": tote,
    "duffel": duffel,
    "suitcase": suitcase,
    "messenger_bag": messenger_bag,
    "wash_bag": wash_bag,
}

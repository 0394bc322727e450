"""Drawings of lamps: how each kind of product under Home/Lighting looks."""

from __future__ import annotations

from api.demo.canvas import BRASS, INK, WOOD, Canvas, Look, darker, lighter
from api.demo.shapes import arc, bezier, box, lathe, moved, oval, smooth, soft, turned

WARM = "#ffe2a0"


def table_lamp(canvas: Canvas, look: Look) -> None:
    """A shade on a turned foot; the style says which: `cone`, `drum` or `gourd`."""
    canvas.stand(392, 74)
    canvas.glow(240, 190, 190, WARM, 0.75)
    if look.style == "drum":
        canvas.fill(lathe([(9, 240), (9, 372)]), look.trim, "round")
        canvas.fill(box(176, 366, 304, 392, 12), look.trim, "round")
        shade = soft([(148, 108), (332, 108), (340, 248), (140, 248)], 8)
    elif look.style == "gourd":
        body = lathe([(14, 236), (18, 258), (44, 292), (66, 336), (58, 376), (40, 392)], curved=True)
        canvas.fill(body, look.trim, "ball", depth=1.3)
        canvas.sheen(oval(212, 326, 10, 24), body, 0.35)
        shade = soft([(186, 96), (294, 96), (344, 240), (136, 240)], 10)
    else:
        canvas.fill(box(180, 376, 300, 392, 8), look.trim, "round")
        canvas.fill(
            lathe([(10, 240), (10, 268), (24, 290), (15, 318), (26, 344), (14, 378)], curved=True), look.trim, "round"
        )
        shade = soft([(200, 92), (280, 92), (338, 246), (142, 246)], 9)
    canvas.fill(shade, look.main, "round")
    canvas.shine(240, 244, 150, WARM, shade, 0.7)
    canvas.line([(x, max(y for _, y in shade) - 5) for x in (150, 330)], 5, darker(look.main, 0.18), inside=shade)
    canvas.line([(x, min(y for _, y in shade) + 4) for x in (150, 330)], 4, lighter(look.main, 0.3), inside=shade)


def pendant_lamp(canvas: Canvas, look: Look) -> None:
    """A lamp on a cord; the style says which: `dome`, `bell` or `globe`."""
    canvas.line([(240, -6), (240, 190)], 4.5, INK)
    canvas.glow(240, 320, 175, WARM, 0.85)
    canvas.fill(box(224, 146, 256, 192, 6), look.trim, "round")
    if look.style == "globe":
        globe = oval(240, 276, 92)
        canvas.fill(globe, look.main, "ball", depth=0.9)
        canvas.shine(240, 280, 110, "#ffd277", globe, 0.9)
        canvas.shine(240, 280, 60, "#fffdf2", globe, 1.0)
        canvas.fill(box(204, 180, 276, 200, 7), look.trim, "round")
        canvas.sheen(turned(oval(192, 238, 12, 26), 32, (192, 238)), globe, 0.5)
        return
    canvas.fill(oval(240, 322, 34), "#fff3cf", "ball")
    if look.style == "bell":
        shade = lathe([(20, 184), (40, 196), (58, 232), (66, 276), (112, 322)], curved=True)
    else:
        shade = arc(240, 322, 142, 138, 180, 360)
    canvas.fill(shade, look.main, "round", depth=1.2)
    rim = 113 if look.style == "bell" else 142
    canvas.fill(arc(240, 320, rim, 14, 0, 360), darker(look.main, 0.32))
    canvas.fill(oval(240, 322, rim - 8, 10), WARM)
    canvas.fill(oval(240, 322, rim * 0.45, 7), "#fff9e6")
    canvas.sheen(smooth([(168, 292), (178, 246), (206, 214), (196, 250), (186, 294)]), shade, 0.25)


def floor_lamp(canvas: Canvas, look: Look) -> None:
    """A tall lamp: a `tripod` of wood, or an `arc` that bends over from a heavy foot."""
    if look.style == "arc":
        canvas.stand(426, 62, 164)
        canvas.glow(312, 208, 130, WARM, 0.8)
        canvas.fill(box(104, 408, 224, 426, 9), look.trim, "round")
        bow = bezier((164, 412), (150, 150), (180, 40), (312, 92))
        canvas.line(bow, 7, look.trim)
        canvas.line([(312, 90), (312, 124)], 6, look.trim)
        canvas.fill(oval(312, 196, 22), "#fff3cf")
        shade = arc(312, 198, 78, 82, 180, 360)
        canvas.fill(shade, look.main, "round", depth=1.2)
        canvas.fill(oval(312, 198, 78, 9), darker(look.main, 0.3))
        canvas.fill(oval(312, 199, 71, 6), WARM)
        return
    canvas.stand(424, 92)
    canvas.glow(240, 140, 150, WARM, 0.8)
    for foot, width in ((240, 9), (158, 11), (322, 11)):
        canvas.line([(240, 196), (foot, 420)], width, WOOD if foot != 240 else darker(WOOD, 0.25))
    canvas.fill(box(222, 186, 258, 214, 6), look.trim, "round")
    shade = soft([(178, 64), (302, 64), (334, 190), (146, 190)], 8)
    canvas.fill(shade, look.main, "round")
    canvas.shine(240, 184, 140, WARM, shade, 0.7)
    canvas.line([(140, 186), (340, 186)], 5, darker(look.main, 0.18), inside=shade)


def desk_lamp(canvas: Canvas, look: Look) -> None:
    """A jointed lamp that leans over the desk."""
    canvas.stand(404, 74, 190)
    canvas.fill(arc(190, 404, 70, 34, 180, 360), look.main, "round")
    for start, end in (((190, 376), (140, 250)), ((140, 250), (262, 142))):
        canvas.line([start, end], 11, look.trim)
        canvas.line([(start[0] - 2, start[1] - 1), (end[0] - 2, end[1] - 1)], 3, lighter(look.trim, 0.45))
    for x, y in ((140, 250), (190, 374), (262, 142)):
        canvas.fill(oval(x, y, 12), darker(look.main, 0.15), "ball")
        canvas.fill(oval(x, y, 4), BRASS)
    canvas.glow(318, 262, 140, WARM, 0.85)
    about = (262, 142)
    bulb = turned(oval(262, 228, 27), -40, about)
    canvas.fill(bulb, "#fff3cf", "ball")
    head = turned(lathe([(18, 122), (24, 134), (38, 166), (74, 218)], axis=262), -40, about)
    canvas.fill(head, look.main, "round", depth=1.2)
    canvas.fill(turned(oval(262, 218, 74, 10), -40, about), darker(look.main, 0.3))
    canvas.fill(turned(oval(262, 219, 66, 7), -40, about), WARM)


def mushroom_lamp(canvas: Canvas, look: Look) -> None:
    """A small night lamp shaped like a mushroom."""
    canvas.stand(384, 70)
    canvas.glow(240, 220, 190, WARM, 0.8)
    stem = lathe([(34, 240), (30, 280), (36, 330), (62, 376), (56, 384)], curved=True)
    canvas.fill(stem, look.trim, "round")
    canvas.shine(240, 246, 90, "#ffc56b", stem, 0.8)
    cap = bezier((106, 252), (106, 60), (374, 60), (374, 252)) + bezier((374, 252), (330, 274), (150, 274), (106, 252))
    canvas.fill(cap, look.main, "ball", depth=1.1)
    for x, y, radius in ((190, 150, 20), (262, 128, 14), (306, 190, 22), (232, 202, 15), (152, 216, 16)):
        canvas.fill(oval(x, y, radius, radius * 0.85), lighter(look.trim, 0.3), inside=cap)
    canvas.fill(
        bezier((106, 252), (150, 274), (330, 274), (374, 252)) + bezier((374, 252), (330, 262), (150, 262), (106, 252)),
        "#ffdf9c",
    )


def string_lights(canvas: Canvas, look: Look) -> None:
    """A garland of bulbs in two swags."""
    hues = (look.main, look.trim, look.accent)
    for row, (left, middle, right) in enumerate((((40, 110), 214, (440, 118)), ((40, 236), 356, (440, 224)))):
        cord = bezier(left, (150, middle), (330, middle), right)
        canvas.line(cord, 4.5, INK)
        for place, step in enumerate(range(2, 25, 4)):
            x, y = cord[step]
            canvas.glow(x, y + 34, 52, hues[(place + row) % 3], 0.55)
            canvas.fill(box(x - 7, y - 1, x + 7, y + 15, 3), INK)
            bulb = moved(smooth([(-7, 0), (-17, 22), (0, 42), (17, 22), (7, 0)]), x, y + 14)
            canvas.fill(bulb, hues[(place + row) % 3], "ball", depth=1.1)
            canvas.sheen(oval(x - 6, y + 32, 3, 7), alpha=0.6)


DRAWINGS = {
    "table_lamp": table_lamp,
    "pendant_lamp": pendant_lamp,
    "floor_lamp": floor_lamp,
    "desk_lamp": desk_lamp,
    "mushroom_lamp": mushroom_lamp,
    "string_lights": string_lights,
}

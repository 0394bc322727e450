"""Drawings of what one cooks and drinks with: every kind of product under Home/Kitchen."""

from __future__ import annotations

from api.demo.canvas import BLACK, BRASS, INK, STEEL, WHITE, Canvas, Look, darker, lighter
from api.demo.shapes import arc, bezier, box, lathe, leaf, moved, oval, smooth, soft, turned


def steam(canvas: Canvas, x: float, y: float, count: int = 3) -> None:
    """Threads of steam that rise from (x, y)."""
    for place in range(count):
        left = x + (place - (count - 1) / 2) * 34
        thread = smooth([(left, y), (left - 10, y - 22), (left + 8, y - 44), (left - 4, y - 68)], closed=False)
        canvas.line(thread, 7, WHITE, alpha=0.75)


def mug(canvas: Canvas, look: Look) -> None:
    """A mug; the style adds to it: `band`, `speckled`, or `enamel` with a dark rim."""
    canvas.stand(366, 92, 224)
    handle = bezier((306, 222), (400, 206), (398, 330), (300, 320))
    canvas.line(handle, 23, darker(look.main, 0.16))
    canvas.line([(x - 2, y - 3) for x, y in handle], 12, lighter(look.main, 0.05))
    body = soft([(128, 168), (318, 168), (310, 368), (136, 368)], [0, 0, 34, 34])
    canvas.fill(body, look.main, "round")
    if look.style == "band":
        canvas.fill(box(110, 256, 330, 312), look.trim, "round", inside=body)
        canvas.line([(110, 248), (330, 248)], 4, look.trim, inside=body)
        canvas.line([(110, 320), (330, 320)], 4, look.trim, inside=body)
    if look.style == "speckled":
        for place in range(46):
            x, y = 132 + (place * 67) % 180, 186 + (place * 41) % 172
            canvas.fill(oval(x, y, 1.5 + place % 3), look.trim, inside=body, alpha=0.85)
    rim = look.trim if look.style == "enamel" else lighter(look.main, 0.25)
    canvas.fill(oval(223, 168, 95, 19), rim)
    canvas.fill(oval(223, 169, 85, 14), darker(look.main, 0.3) if look.style != "enamel" else WHITE)
    canvas.fill(oval(223, 174, 79, 10), "#6b4630")
    canvas.sheen(box(150, 200, 163, 322, 7), body, 0.35)
    steam(canvas, 223, 142)


def teapot(canvas: Canvas, look: Look) -> None:
    """A round teapot with a spout and a bowed handle."""
    canvas.stand(370, 106)
    canvas.line(bezier((326, 218), (446, 190), (424, 352), (312, 326)), 20, look.trim)
    spout = soft([(150, 330), (84, 214), (64, 196), (92, 188), (118, 206), (176, 258)], [0, 26, 4, 8, 22, 0])
    canvas.fill(spout, darker(look.main, 0.1), "round")
    body = smooth([(240, 186), (318, 206), (354, 278), (322, 350), (240, 370), (158, 350), (126, 278), (162, 206)])
    canvas.fill(body, look.main, "ball", depth=1.15)
    canvas.fill(box(180, 362, 300, 374, 6), darker(look.main, 0.25), "round")
    for y, bow in ((250, 20), (264, 22)):
        canvas.line(bezier((120, y), (180, y + bow), (300, y + bow), (360, y)), 5, look.trim, inside=body, alpha=0.9)
    lid = arc(240, 200, 66, 36, 180, 360)
    canvas.fill(lid, look.main, "round")
    canvas.line(bezier((170, 201), (200, 212), (280, 212), (310, 201)), 7, darker(look.main, 0.22))
    canvas.fill(oval(240, 156, 14), look.trim, "ball")
    canvas.sheen(turned(oval(182, 258, 13, 30), 22, (182, 258)), body, 0.4)


def kettle(canvas: Canvas, look: Look) -> None:
    """A hob kettle with a high handle."""
    canvas.stand(374, 118)
    canvas.line(arc(240, 206, 96, 104, 186, 354), 17, look.trim)
    canvas.line(arc(238, 204, 96, 104, 205, 335), 5, lighter(look.trim, 0.3), alpha=0.7)
    spout = soft([(130, 316), (74, 214), (112, 206), (178, 252)], [0, 8, 8, 0])
    canvas.fill(spout, darker(look.main, 0.14), "round")
    body = soft([(188, 188), (292, 188), (360, 372), (120, 372)], [46, 46, 26, 26])
    canvas.fill(body, look.main, "round", depth=1.15)
    canvas.fill(box(100, 356, 380, 380), darker(look.main, 0.22), "round", inside=body)
    canvas.fill(arc(240, 192, 54, 22, 180, 360), STEEL, "round")
    canvas.fill(oval(240, 166, 13), look.trim, "ball")
    canvas.fill(oval(92, 206, 22, 9), STEEL)
    canvas.sheen(soft([(186, 222), (202, 222), (176, 330), (154, 330)], 8), body, 0.35)


def casserole(canvas: Canvas, look: Look) -> None:
    """A cast-iron pot with its lid, two ears and a knob; the style `low` is a shallow one."""
    top = 246 if look.style == "low" else 212
    canvas.stand(364, 134)
    for x in (92, 388):
        canvas.line(box(x - 26, top + 26, x + 26, top + 52, 12), 13, darker(look.main, 0.2))
    body = soft([(100, top), (380, top), (366, 364), (114, 364)], [0, 0, 44, 44])
    canvas.fill(body, look.main, "round", depth=1.15)
    canvas.shade(box(100, top, 380, top + 16), body, 0.2)
    lid = bezier((92, top), (100, top - 74), (380, top - 74), (388, top))
    canvas.fill(lid, lighter(look.main, 0.06), "round", depth=1.15)
    canvas.fill(box(88, top - 8, 392, top + 8, 8), darker(look.main, 0.14), "round")
    canvas.fill(box(231, top - 76, 249, top - 50, 3), look.trim, "round")
    canvas.fill(oval(240, top - 80, 26, 13), look.trim, "ball")
    canvas.sheen(smooth([(146, top + 30), (160, top + 26), (160, 310), (150, 318)]), body, 0.35)
    canvas.sheen(
        [*bezier((140, top - 26), (170, top - 48), (200, top - 52), (214, top - 52)), (160, top - 22)], lid, 0.3
    )


def frying_pan(canvas: Canvas, look: Look) -> None:
    """A pan seen from above, with a fried egg in it."""
    handle = turned(soft([(226, 300), (254, 300), (258, 470), (222, 470)], [0, 0, 17, 17]), -45, (240, 240))
    canvas.fill(moved(handle, -36, -36), look.trim, "round")
    canvas.line([(326, 326), (344, 344)], 7, darker(look.trim, 0.4))
    canvas.fill(oval(204, 204, 138), darker(look.main, 0.1), "ball")
    canvas.fill(oval(204, 204, 122), darker(look.main, 0.38), "ball", depth=0.6)
    canvas.line(arc(204, 204, 106, 106, 190, 262), 5, WHITE, alpha=0.14)
    white = smooth([(158, 184), (196, 142), (244, 158), (266, 196), (254, 250), (206, 262), (176, 244), (140, 236)])
    canvas.shade(moved(white, 5, 7), alpha=0.35)
    canvas.fill(white, "#fffaf0", "ball", depth=0.35)
    canvas.fill(oval(206, 206, 33), "#f6b93b", "ball", depth=1.1)
    canvas.sheen(oval(195, 193, 9, 6), alpha=0.7)


def cutting_board(canvas: Canvas, look: Look) -> None:
    """A wooden board with a knife and a few slices of lemon on it."""
    board = turned(soft([(130, 120), (350, 120), (350, 400), (130, 400)], 26), 9)
    canvas.fill(board, look.main, "down")
    for x in (156, 188, 214, 252, 284, 318):
        grain = smooth([(x, 110), (x + 6, 200), (x - 5, 300), (x + 3, 410)], closed=False)
        canvas.line(turned(grain, 9), 2.2, darker(look.main, 0.28), inside=board, alpha=0.45)
    canvas.fill(turned(oval(240, 146, 14), 9), "#f0e2cb")
    blade = turned(soft([(300, 130), (322, 150), (322, 276), (290, 276)], [20, 4, 0, 0]), 14, (300, 240))
    canvas.shade(moved(blade, 6, 7), board, 0.22)
    canvas.fill(blade, STEEL, "round")
    grip = turned(box(288, 272, 324, 388, 13), 14, (300, 240))
    canvas.shade(moved(grip, 6, 7), board, 0.22)
    canvas.fill(grip, look.trim, "round")
    for y in (300, 356):
        canvas.fill(turned(oval(306, y, 4), 14, (300, 240)), BRASS)
    for x, y in ((190, 226), (176, 300), (214, 348)):
        canvas.shade(oval(x + 4, y + 5, 34), board, 0.18)
        canvas.fill(oval(x, y, 34), "#f2c230")
        canvas.fill(oval(x, y, 28), "#fdf3c4")
        for turn in range(0, 360, 60):
            wedge = leaf((x + 4, y), (x + 26, y), 13)
            canvas.fill(turned(wedge, turn + 15, (x, y)), "#f7d65a")


def bowl(canvas: Canvas, look: Look) -> None:
    """A nest of three bowls."""
    canvas.stand(379, 62)
    canvas.fill(box(194, 362, 286, 381, 5), darker(look.accent, 0.25), "round")
    # From the top of the nest down: the wall of each bowl hides the foot of the one that stands in it.
    for y, half, colour in ((204, 146, look.main), (252, 136, look.trim), (298, 126, look.accent)):
        if y == 204:
            canvas.fill(oval(240, y, half, 22), lighter(colour, 0.28))
            canvas.fill(oval(240, y + 2, half - 9, 17), darker(colour, 0.24), "down")
        rim, foot, width = arc(240, y, half, 22, 180, 0), y + 74, half - 12
        right = bezier((240 + half, y), (240 + width, y + 96), (300, foot), (240, foot))
        left = bezier((240, foot), (180, foot), (240 - width, y + 96), (240 - half, y))
        shell = rim + right + left
        canvas.fill(shell, colour, "round", depth=1.1)
        canvas.line(rim, 5, lighter(colour, 0.35))
        canvas.sheen(turned(oval(240 - half + 30, y + 36, 6, 13), -24, (240 - half + 30, y + 36)), shell, 0.35)


def cafetiere(canvas: Canvas, look: Look) -> None:
    """A glass coffee press, two thirds full."""
    canvas.stand(392, 84, 228)
    canvas.line(soft([(296, 182), (374, 182), (366, 344), (296, 344)], [0, 30, 30, 0]), 17, look.trim)
    glass = box(152, 158, 304, 386, 16)
    canvas.fill(glass, "#e9f2f4", "round", alpha=0.85, depth=0.7)
    canvas.fill(box(158, 238, 298, 378, 10), "#4a2d1d", "round", inside=glass)
    canvas.fill(box(158, 232, 298, 248, 6), "#b98a5c", "round", inside=glass)
    for y in (166, 366):
        canvas.fill(box(146, y, 310, y + 17, 6), look.main, "round")
    canvas.fill(box(142, 374, 314, 394, 8), look.main, "round")
    for x in (160, 296):
        canvas.fill(box(x - 6, 170, x + 6, 384, 3), look.main, "round")
    canvas.fill(soft([(152, 160), (120, 148), (152, 192)], [0, 6, 0]), look.main)
    canvas.line([(228, 84), (228, 150)], 6, STEEL)
    canvas.fill(bezier((146, 164), (160, 128), (296, 128), (310, 164)), look.main, "round")
    canvas.fill(oval(228, 82, 17), look.trim, "ball")
    canvas.sheen(box(178, 198, 190, 356, 6), glass, 0.4)


def moka_pot(canvas: Canvas, look: Look) -> None:
    """A stove-top coffee maker with eight sides."""
    canvas.stand(388, 78, 232)
    canvas.line(soft([(290, 152), (372, 150), (356, 268)], [0, 22, 0]), 19, look.trim)
    lower = soft([(188, 270), (276, 270), (304, 388), (160, 388)], [0, 0, 10, 10])
    upper = soft([(150, 130), (306, 142), (276, 262), (188, 262)], 4)
    spout = soft([(168, 140), (118, 140), (178, 206)], [0, 6, 0])
    canvas.fill(spout, darker(look.main, 0.08))
    for part in (lower, upper):
        canvas.fill(part, look.main, "round")
    for x0, x1, tone in ((150, 196, 0.16), (196, 232, 0.3), (268, 320, -0.2)):
        for part, top, bottom, lean in ((upper, 130, 262, 9), (lower, 270, 388, -9)):
            facet = [(x0 - lean, top), (x1 - lean / 2, top), (x1 + lean / 2, bottom), (x0 + lean, bottom)]
            canvas.fill(facet, WHITE if tone > 0 else BLACK, inside=part, alpha=abs(tone))
    canvas.fill(box(180, 256, 284, 276, 5), darker(look.main, 0.25), "round")
    canvas.fill(
        soft([(156, 134), (190, 104), (274, 104), (306, 140)], [4, 14, 14, 4]), lighter(look.main, 0.08), "round"
    )
    canvas.fill(oval(232, 92, 15), look.trim, "ball")
    canvas.fill(oval(206, 326, 9), BRASS, "ball")


def pepper_mill(canvas: Canvas, look: Look) -> None:
    """A turned pepper mill with a few peppercorns."""
    canvas.stand(396, 64)
    canvas.fill(oval(240, 92, 12), BRASS, "ball")
    head = lathe([(10, 98), (34, 112), (46, 140), (30, 172), (40, 188)], curved=True)
    canvas.fill(head, look.main, "round", depth=1.2)
    profile = [(42, 194), (24, 232), (30, 268), (52, 312), (58, 362), (62, 394)]
    body = lathe(profile, curved=True)
    canvas.fill(body, look.main, "round", depth=1.2)
    canvas.fill(box(192, 186, 288, 198, 5), look.trim, "round")
    for y in (346, 376):
        canvas.fill(box(170, y, 310, y + 7), darker(look.main, 0.25), "round", inside=body)
    canvas.sheen(smooth([(214, 128), (224, 122), (222, 150), (214, 154)]), head, 0.4)
    canvas.sheen(smooth([(206, 308), (216, 290), (212, 336), (202, 342)]), body, 0.35)
    for x, y in ((352, 390), (374, 396), (338, 398), (128, 396), (362, 402)):
        canvas.fill(oval(x, y, 7), INK, "ball")


DRAWINGS = {
    "mug": mug,
    "teapot": teapot,
    "kettle": kettle,
    "casserole": casserole,
    "frying_pan": frying_pan,
    "cutting_board": cutting_board,
    "bowl": bowl,
    "cafetiere": cafetiere,
    "moka_pot": moka_pot,
    "pepper_mill": pepper_mill,
}

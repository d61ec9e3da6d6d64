"""Draw the project's own example garments: eight product pictures made from nothing but numbers.

Run `python examples/render.py` to write every picture and `examples.json` beside this file, or name some of them:
`python examples/render.py denim_jacket trench_coat`. Pictures are 576 x 768 pixels and the same on every run.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from cloth import (
    HEIGHT,
    WIDTH,
    Array,
    Cloth,
    Piece,
    Point,
    Seam,
    blossom,
    bunch,
    cables,
    check,
    crease,
    crumple,
    denim,
    disc,
    drape,
    fan,
    fleece,
    mirror,
    noise,
    path,
    photograph,
    plain,
    pleats,
    press,
    quad,
    rib,
    satin,
    stripes,
    symmetric,
    twill,
)
from PIL import Image

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Side:
    """One side of a garment: shapes and angles are given for the picture's left and mirrored for its right."""

    right: bool

    def cut(self, *strokes: list[Point]) -> Array:
        """The outline (n, 2) along `strokes`."""
        return mirror(path(*strokes)) if self.right else path(*strokes)

    def at(self, x: float, y: float) -> Point:
        """A point."""
        return (WIDTH - x, y) if self.right else (x, y)

    def angles(self, first: float, last: float) -> tuple[float, float]:
        """A range of directions in degrees, 0 right and 90 down."""
        return (180 - first, 180 - last) if self.right else (first, last)

    def grain(self, degrees: float) -> float:
        """A turn of the cloth in degrees."""
        return -degrees if self.right else degrees

    def crease(self, start: Point, end: Point, width: float, height: float, bend: float = 0.12):
        """A wrinkle, as `cloth.crease`."""
        return crease(self.at(*start), self.at(*end), width, height, -bend if self.right else bend)

    def fan(self, at: Point, towards: tuple[float, float], length: float, count: int, width: float, height: float):
        """Wrinkles from a point, as `cloth.fan`."""
        return fan(self.at(*at), self.angles(*towards), length, count, width, height)


LEFT, RIGHT = SIDES = Side(False), Side(True)


tube = partial(Piece, tube=True)  # a piece with open ends: a sleeve, a trouser leg, a body or a skirt


def hem(left: Point, right: Point, sag: float, waves: float, height: float) -> list[Point]:
    """Points of a hem from `left` to `right` that hangs `sag` pixels in the middle and waves a little."""
    u = np.linspace(0, 1, 41)
    x = left[0] + (right[0] - left[0]) * u
    y = left[1] + (right[1] - left[1]) * u + sag * 4 * u * (1 - u)
    swing = np.sin(2 * np.pi * (waves * u + 0.22 * np.sin(7 * u))) * np.minimum(1, 8 * u * (1 - u))
    return list(zip(x, y + height * swing, strict=True))


def button(x: float, y: float, radius: float, colour: str, holes: bool = True) -> list[Piece]:
    """A button with four holes, or a metal one with a rim."""
    shell = Cloth(colour, satin, mottle=0.01, sheen=0.35)
    gap = radius * 0.28
    seams = [Seam(disc(x, y, radius * 0.7), None, 0.5 if holes else 0.9)]
    if holes:
        corners = [(x + a, y + b) for a in (-gap, gap) for b in (-gap, gap)]
        seams += [Seam(np.array([(a, b), (a + 0.3, b)]), "#1c1814", 0, (0.3, 9), 0.9) for a, b in corners]
    return [Piece(disc(x, y, radius), shell, depth=1.6, roundness=1.6, seams=seams, lift=1.2, wobble=0)]


def backdrop(colour: str, weave=satin, folds=(), **cloth) -> Piece:
    """A plain sheet under the garment."""
    outline = path([(-24, -24), (WIDTH + 24, -24)], [(WIDTH + 24, HEIGHT + 24)], [(-24, HEIGHT + 24)])
    return Piece(outline, Cloth(colour, weave, **({"mottle": 0.004} | cloth)), depth=0, folds=list(folds), wobble=0)


def planks() -> Piece:
    """Upright wooden boards, each with its own tone and grain."""

    def rings(s: Array, t: Array, rng: np.random.Generator) -> Array:
        board = np.floor((s + 320) / 98).astype(int)
        tone = rng.uniform(0, 0.22, 16)[board]
        knots = noise(rng, s / 60 + 5 * board, t / 260)
        lines = noise(rng, (s + 7 * knots) / 2.6, t / 180) + 0.5 * noise(rng, (s + 9 * knots) / 6, t / 300)
        gap = np.exp(-((((s + 320) % 98 - 49) / 48.2) ** 60))
        return np.clip(0.1 + tone + 0.08 * lines + 0.04 * knots + 0.9 * (1 - gap), 0, 1)

    return backdrop("#d9c9b2", satin, print=rings, ink="#6b5138", mottle=0.006, sheen=0.02)


def tablecloth(colour: str) -> Piece:
    """A cotton sheet with a few soft folds."""
    folds = [
        crumple(120, 3.0, 40, 2.5),
        crease((-20, 120), (240, 60), 16, 5),
        crease((380, 760), (600, 560), 20, 6),
        crease((-10, 700), (140, 560), 18, 5),
        crease((430, 40), (600, 160), 18, 5),
    ]
    return backdrop(colour, plain, folds, mottle=0.008)


def dress() -> list[Piece]:
    """An A-line midi dress with puff sleeves, a V neck and a gathered skirt."""
    crepe = Cloth("#7d9482", plain, blossom(21), "#f3ead8", mottle=0.03, sheen=0.04)
    lining = Cloth("#6f8474", plain, mottle=0.03)
    pieces = [Piece(symmetric([(288, 82), (262, 78), (240, 64)], [(232, 96), (250, 165), (288, 180)]), lining, tone=0.5)]
    for side in SIDES:
        puff = side.cut(
            [(214, 74), (180, 86), (148, 132), (138, 182)],
            [(160, 196), (190, 200)],
            [(206, 168), (214, 120), (214, 74)],
        )
        band = side.cut([(139, 176), (162, 190), (191, 194)], [(189, 205)], [(160, 203), (135, 188)])
        pieces += [
            tube(
                puff,
                crepe,
                side.grain(22),
                13,
                16,
                [drape(4.5, 3.5, 0.5, 3.4), side.fan((207, 84), (100, 160), 76, 7, 6, 4)],
            ),
            Piece(band, crepe, side.grain(22), 3, 4, lift=1.5, topstitch=(2.5,), thread="#a9baa8"),
        ]
    skirt = path(
        [(214, 292), (250, 298), (288, 300), (326, 298), (362, 292)],
        [(388, 372), (438, 560), (474, 692)],
        hem((474, 692), (102, 696), 26, 6, 4.5),
        [(140, 560), (190, 372), (214, 292)],
    )
    pieces.append(
        tube(
            skirt,
            crepe,
            0,
            14,
            34,
            [drape(8, 24, 0.3, 5.5), crumple(34, 1.2)],
            lift=4,
            topstitch=(7,),
            thread="#8fa392",
        )
    )
    bodice = symmetric(
        [(288, 172), (262, 130), (240, 62)],
        [(208, 76)],
        [(214, 112), (210, 150), (188, 186)],
        [(197, 236), (213, 294)],
        [(250, 302), (288, 304)],
    )
    darts = [side.cut([(244, 300), (243, 262), (238, 226)]) for side in SIDES]
    pieces.append(
        tube(
            bodice,
            crepe,
            0,
            16,
            30,
            [
                crumple(34, 2.2),
                *(s.fan((192, 190), (-10, 60), 76, 5, 7, 3.6) for s in SIDES),
                *(s.fan((236, 300), (-115, -65), 66, 5, 5, 3.2) for s in SIDES),
                *(s.crease((226, 96), (252, 168), 8, 3.2) for s in SIDES),
            ],
            [*(Seam(d) for d in darts), Seam(path([(288, 172), (288, 302)]))],
            lift=2,
            topstitch=(3,),
            thread="#9db09f",
        )
    )
    band = symmetric([(288, 292), (250, 290), (213, 284)], [(211, 301)], [(250, 308), (288, 310)])
    pieces.append(Piece(band, crepe, 0, 5, 7, [crumple(22, 0.7)], lift=2, topstitch=(2.5,), thread="#a9baa8"))
    return pieces + [b for y in (192, 218, 244, 270) for b in button(288, y, 4.6, "#f0e6d2")]


def shirt() -> list[Piece]:
    """A striped button-down shirt with a pointed collar, a placket and a chest pocket."""
    poplin = Cloth("#f2f3f4", plain, stripes(9, 0.42), "#6f93c4", mottle=0.015)
    thread = "#c3d0e2"
    pieces = [Piece(symmetric([(288, 72), (256, 76), (232, 90)], [(246, 126), (288, 142)]), poplin, tone=0.55)]
    for side in SIDES:
        sleeve = side.cut(
            [(196, 106), (152, 123), (116, 156), (98, 226), (78, 330), (46, 524)],
            [(72, 538), (100, 538)],
            [(122, 424), (146, 334), (160, 256)],
            [(180, 184), (196, 106)],
        )
        cuff = side.cut([(42, 520), (72, 531), (101, 533)], [(95, 578)], [(66, 578), (36, 567)])
        pieces += [
            tube(
                sleeve,
                poplin,
                side.grain(11),
                14,
                17,
                [
                    crumple(26, 2.4, 30),
                    bunch(0.52, 0.16, 13, 3.0),
                    bunch(0.95, 0.1, 16, 2.2),
                    side.fan((152, 268), (120, 190), 70, 6, 7, 4.6),
                    side.crease((82, 330), (128, 374), 8, 5),
                    side.crease((74, 376), (120, 356), 7, 4),
                    side.crease((134, 150), (104, 310), 10, 4.5),
                ],
            ),
            Piece(cuff, poplin, side.grain(102), 5, 9, topstitch=(3.5,), thread=thread, lift=2),
            *button(*side.at(84, 557), 4, "#f7f4ec"),
        ]
    body = symmetric(
        [(288, 134), (258, 118), (234, 88)],
        [(150, 124)],
        [(160, 164), (164, 214), (154, 268)],
        [(154, 400), (148, 560)],
        [(166, 606), (222, 638), (288, 646)],
    )
    yokes = [side.cut([(250, 124), (196, 140), (156, 158)]) for side in SIDES]
    pieces.append(
        tube(
            body,
            poplin,
            0,
            18,
            36,
            [
                crumple(46, 3.6),
                drape(4.5, 6.5, 0.15),
                *(s.fan((160, 262), (-10, 75), 130, 6, 10, 5) for s in SIDES),
                *(s.crease((190, 146), (222, 350), 13, 4.6) for s in SIDES),
                crease((170, 470), (266, 430), 13, 3.4),
                crease((404, 540), (312, 592), 15, 3.4),
                crease((176, 560), (262, 592), 14, 3),
            ],
            [*(Seam(y, thread) for y in yokes)],
            topstitch=(4,),
            thread=thread,
        )
    )
    placket = path([(273, 124), (303, 124)], [(303, 400), (304, 647)], [(273, 647)], [(274, 400), (273, 124)])
    pieces.append(Piece(placket, poplin, 0, 2.2, 4, [crumple(40, 2.4), drape(1, 1)], lift=1.6, topstitch=(4,), thread=thread))
    pocket = path([(338, 242), (408, 240)], [(408, 310)], [(374, 330)], [(339, 312)])
    pieces.append(
        Piece(
            pocket,
            poplin,
            0,
            1.6,
            3,
            [crumple(34, 2.6)],
            [Seam(path([(338, 256), (408, 254)]), thread)],
            lift=1.6,
            topstitch=(3,),
            thread=thread,
        )
    )
    pieces += [b for y in (176, 244, 312, 380, 448, 516, 584) for b in button(288.5, y, 4.6, "#f7f4ec")]
    band = symmetric([(288, 68), (256, 70), (224, 92)], [(232, 98)], [(258, 86), (288, 84)])
    pieces.append(Piece(band, poplin, 90, 3, 4, lift=2, tone=0.95))
    for side in SIDES:
        leaf = side.cut([(230, 82), (252, 110), (288, 134)], [(252, 188)], [(222, 148), (210, 110)], [(216, 92), (230, 82)])
        pieces.append(
            Piece(
                leaf,
                poplin,
                side.grain(-42),
                4.5,
                7,
                [side.crease((224, 104), (260, 160), 9, 1.6)],
                lift=3.5,
                topstitch=(4,),
                thread=thread,
            )
        )
    return pieces + button(288, 141, 4.4, "#f7f4ec")


def denim_jacket() -> list[Piece]:
    """A cropped denim jacket with a yoke, flap pockets, metal buttons and copper topstitching."""
    jean = Cloth("#4a617f", denim, mottle=0.04, worn=0.13, sheen=0.02)
    thread, brass = "#c8955a", "#b98d55"
    pieces = [Piece(symmetric([(288, 84), (250, 88), (226, 106)], [(244, 150), (288, 180)]), jean, tone=0.42)]
    for side in SIDES:
        sleeve = side.cut(
            [(190, 117), (144, 135), (106, 166), (86, 240), (66, 350), (34, 540)],
            [(64, 558), (104, 556)],
            [(124, 440), (148, 350), (164, 276)],
            [(176, 200), (190, 117)],
        )
        cuff = side.cut([(30, 534), (64, 550), (106, 550)], [(100, 600)], [(60, 602), (22, 586)])
        pieces += [
            tube(
                sleeve,
                jean,
                side.grain(12),
                17,
                20,
                [
                    crumple(24, 3.2, 25),
                    bunch(0.5, 0.16, 13, 3.8),
                    bunch(0.95, 0.1, 15, 3.0),
                    side.fan((152, 286), (125, 190), 76, 6, 8, 5),
                    side.crease((70, 350), (126, 394), 9, 6),
                    side.crease((64, 398), (116, 376), 8, 5),
                    side.crease((128, 170), (92, 320), 11, 5),
                ],
                [Seam(side.cut([(126, 152), (96, 330), (60, 550)]), thread)],
            ),
            Piece(cuff, jean, side.grain(12), 6, 9, topstitch=(3.5, 7), thread=thread, lift=2.5),
            *button(*side.at(88, 578), 5, brass, holes=False),
        ]
        front = side.cut(
            [(298, 176), (262, 150), (228, 100)],
            [(142, 136)],
            [(158, 180), (164, 230), (152, 286)],
            [(156, 400), (164, 530)],
            [(230, 536), (300, 536)],
        )
        sewn = [
            Seam(side.cut([(156, 226), (220, 232), (300, 233)]), thread),
            Seam(side.cut([(156, 230), (220, 236), (300, 237)]), thread, 0.3),
            Seam(side.cut([(196, 236), (214, 380), (228, 534)]), thread),
            Seam(side.cut([(200, 236), (218, 380), (232, 534)]), thread, 0.3),
            Seam(side.cut([(258, 236), (250, 380), (246, 534)]), thread),
            Seam(side.cut([(254, 236), (246, 380), (242, 534)]), thread, 0.3),
            Seam(side.cut([(176, 474), (188, 430), (202, 392)]), thread, 1.6),
            Seam(side.cut([(184, 478), (196, 434), (210, 396)]), thread, 1.0),
        ]
        flap = side.cut([(188, 240), (264, 241)], [(263, 264)], [(226, 284)], [(189, 263)])
        pieces += [
            tube(
                front,
                jean,
                side.grain(1),
                17,
                26,
                [
                    crumple(32, 3.6),
                    side.fan((160, 282), (-5, 80), 110, 6, 9, 4.6),
                    drape(3, 3.5, 0.3),
                    side.crease((176, 150), (214, 226), 10, 4),
                    side.crease((172, 500), (240, 470), 9, 4),
                ],
                sewn,
                topstitch=(4,),
                thread=thread,
                lift=2.5,
            ),
            Piece(flap, jean, side.grain(2), 3.5, 4, [crumple(26, 1.6)], topstitch=(3, 6.5), thread=thread, lift=3),
            *button(*side.at(226, 270), 4.6, brass, holes=False),
        ]
    placket = path([(272, 168), (304, 168)], [(304, 537)], [(272, 537)])
    pieces.append(Piece(placket, jean, 0, 3, 4, [crumple(30, 2)], topstitch=(3.5,), thread=thread, lift=2.5))
    waistband = path([(162, 528), (288, 536), (414, 528)], [(415, 566)], [(288, 574), (161, 566)])
    pieces.append(Piece(waistband, jean, 90, 6, 9, [crumple(26, 1.8)], topstitch=(3.5,), thread=thread, lift=3))
    pieces += [b for y in (196, 258, 324, 390, 456, 514) for b in button(288, y, 6, brass, holes=False)]
    pieces += button(288, 554, 6, brass, holes=False)
    back = symmetric([(288, 76), (250, 80), (214, 108)], [(228, 118)], [(254, 102), (288, 100)])
    pieces.append(Piece(back, jean, 90, 4, 6, lift=3, topstitch=(4,), thread=thread))
    for side in SIDES:
        leaf = side.cut([(222, 94), (250, 136), (290, 176)], [(240, 224)], [(210, 178), (190, 130)], [(202, 104), (222, 94)])
        pieces.append(
            Piece(
                leaf,
                jean,
                side.grain(-40),
                7,
                9,
                [side.crease((214, 116), (258, 188), 12, 3), crumple(30, 1.6)],
                lift=5,
                topstitch=(4, 7.5),
                thread=thread,
            )
        )
    return pieces


def sweater() -> list[Piece]:
    """A cream Aran sweater with ribbed neck, cuffs and hem."""
    aran = Cloth("#e9deca", cables, mottle=0.03, sheen=0.0)
    ribbed = Cloth("#eadfca", rib(7.5, 2.2), mottle=0.03, sheen=0.0)
    pieces = [
        Piece(symmetric([(288, 92), (256, 94), (226, 108)], [(244, 160), (288, 172)]), ribbed, tone=0.5),
        Piece(
            symmetric([(288, 84), (254, 87), (220, 106)], [(232, 122)], [(260, 110), (288, 108)]),
            ribbed,
            depth=5,
            roundness=7,
            tone=0.85,
        ),
    ]
    for side in SIDES:
        sleeve = side.cut(
            [(196, 116), (148, 135), (104, 172), (80, 250), (60, 360), (38, 530), (45, 556)],
            [(72, 566), (100, 561)],
            [(108, 530), (132, 450), (156, 360), (170, 290)],
            [(180, 200), (196, 116)],
        )
        cuff = side.cut([(44, 546), (70, 556), (101, 552)], [(98, 616)], [(70, 624), (40, 612)])
        pieces += [
            Piece(cuff, ribbed, side.grain(4), 9, 12),
            tube(
                sleeve,
                aran,
                side.grain(10),
                20,
                22,
                [
                    bunch(0.5, 0.2, 9, 4.5),
                    bunch(0.97, 0.1, 11, 3.8),
                    side.fan((158, 294), (120, 190), 90, 5, 11, 6),
                    side.crease((66, 360), (130, 400), 12, 6),
                    side.crease((134, 170), (90, 330), 14, 5),
                ],
                lift=4,
            ),
        ]
    hem_rib = path([(160, 588), (288, 596), (416, 588)], [(412, 646)], [(288, 656), (164, 646)])
    body = symmetric(
        [(288, 166), (252, 152), (224, 104)],
        [(146, 136)],
        [(162, 190), (168, 240), (160, 300)],
        [(150, 440), (146, 560), (163, 600)],
        [(210, 608), (288, 610)],
    )
    ring = symmetric([(288, 152), (258, 141), (232, 98)], [(212, 110)], [(244, 170), (288, 184)])
    pieces += [
        Piece(hem_rib, ribbed, 0, 10, 14, [drape(5, 3, 0.8)]),
        tube(
            body,
            aran,
            0,
            22,
            40,
            [
                drape(4, 6, 0.3),
                *(s.fan((166, 298), (-5, 75), 130, 5, 13, 6) for s in SIDES),
                crease((162, 540), (270, 500), 14, 5),
                crease((414, 500), (316, 540), 14, 5),
                *(s.crease((196, 150), (226, 340), 16, 5) for s in SIDES),
            ],
            lift=4,
        ),
        Piece(ring, ribbed, 0, 8, 9, lift=3),
    ]
    return pieces


def trousers() -> list[Piece]:
    """Wide-leg trousers with a waistband, front pleats, pressed creases and slant pockets."""
    wool = Cloth("#a58d72", twill, mottle=0.03, sheen=0.04)
    thread = "#8c755c"
    pieces = [Piece(symmetric([(288, 60), (240, 62), (200, 70)], [(204, 90), (288, 92)]), wool, 90, tone=0.42)]
    for side in SIDES:
        leg = side.cut(
            [(294, 98), (240, 98), (196, 96)],
            [(174, 180), (158, 270), (134, 480), (108, 712)],
            [(150, 722), (220, 727), (270, 724)],
            [(282, 520), (292, 336)],
            [(296, 300), (294, 98)],
        )
        slant = Seam(side.cut([(214, 98), (196, 150), (176, 196)]), thread, 2.2)
        turn_up = Seam(side.cut([(112, 698), (150, 707), (220, 712), (270, 709)]), thread, 0.6)
        edge = Seam(side.cut([(219, 100), (201, 152), (180, 198)]), thread, 0.5)
        pieces.append(
            tube(
                leg,
                wool,
                0,
                18,
                26,
                [
                    drape(2.6, 9, 0.2),
                    crumple(50, 2),
                    press(0.5, 11, 0.1, 0.03),
                    side.crease((236, 90), (222, 300), 9, 6, 0.03),
                    side.crease((258, 90), (244, 250), 8, 5, 0.03),
                    side.fan((294, 332), (140, 200), 120, 3, 12, 3.4),
                    side.crease((262, 470), (200, 520), 16, 3),
                ],
                [slant, edge, turn_up],
                lift=5,
            )
        )
    pieces.append(
        Piece(
            path([(284, 98), (304, 98)], [(304, 220), (300, 262), (284, 282)]),
            wool,
            0,
            2,
            4,
            [crumple(30, 1.6)],
            [Seam(path([(300, 98), (300, 220), (294, 258), (284, 274)]), thread, 0.6)],
            lift=2,
        )
    )
    waistband = path(
        [(196, 70), (240, 77), (288, 79), (336, 77), (380, 70)],
        [(383, 100)],
        [(336, 108), (288, 110), (240, 108), (193, 100)],
    )
    pieces.append(
        Piece(
            waistband,
            wool,
            90,
            5,
            8,
            [crumple(30, 1)],
            [Seam(path([(304, 78), (304, 109)]))],
            topstitch=(3,),
            thread=thread,
            lift=3,
        )
    )
    for x, y in ((222, 74), (262, 77), (326, 76), (362, 73)):
        pieces.append(Piece(quad((x, y - 3), (x, y + 37), 8), wool, 0, 2.5, 3, topstitch=(2,), thread=thread, lift=2))
    return pieces + button(292, 94, 5, "#3b2c20")


def trench_coat() -> list[Piece]:
    """A double-breasted trench coat with wide lapels, a storm flap and a buckled belt."""
    gabardine = Cloth("#c6aa7e", twill, mottle=0.025, sheen=0.05)
    lining = Cloth("#b89a6c", twill, check(34), "#f0e4cc", mottle=0.03)
    thread, horn = "#a98d62", "#4a3423"
    pieces = [Piece(symmetric([(288, 72), (256, 76), (232, 90)], [(256, 200), (296, 270)]), lining, tone=0.5)]
    for side in SIDES:
        sleeve = side.cut(
            [(204, 98), (162, 115), (122, 146), (102, 220), (86, 330), (62, 500)],
            [(92, 514), (126, 512)],
            [(146, 400), (164, 320), (174, 254)],
            [(194, 190), (204, 98)],
        )
        strap = quad(side.at(64, 468), side.at(136, 478), 13)
        pieces += [
            tube(
                sleeve,
                gabardine,
                side.grain(9),
                16,
                19,
                [
                    crumple(26, 2.4, 25),
                    bunch(0.54, 0.16, 13, 3.4),
                    bunch(0.9, 0.1, 14, 2.0),
                    side.fan((166, 262), (120, 190), 76, 6, 8, 4.6),
                    side.crease((90, 330), (142, 372), 9, 5),
                    side.crease((140, 146), (110, 300), 11, 4.6),
                ],
                [Seam(side.cut([(136, 136), (116, 330), (88, 512)]))],
                topstitch=(5,),
                thread=thread,
            ),
            Piece(strap, gabardine, 90, 2.5, 4, topstitch=(2.5,), thread=thread, lift=2),
            *button(*side.at(86, 471), 3.8, horn),
        ]
    skirt_left = path([(180, 366), (330, 366)], [(336, 520), (344, 694)], [(240, 704), (118, 690)], [(146, 520), (180, 366)])
    skirt_right = path([(260, 366), (396, 366)], [(430, 520), (458, 690)], [(380, 702), (250, 700)])
    for piece, side in ((skirt_right, RIGHT), (skirt_left, LEFT)):
        welt = side.cut([(196, 414), (212, 420)], [(190, 498)], [(173, 491)])
        pieces += [
            tube(
                piece,
                gabardine,
                0,
                18,
                28,
                [drape(4.5, 11, 0.25, 4.5), crumple(40, 2)],
                topstitch=(4.5,),
                thread=thread,
                lift=4,
            ),
            Piece(welt, gabardine, side.grain(16), 3, 4, topstitch=(2.5,), thread=thread, lift=2.5),
        ]
    side_front = [(238, 84), (160, 116)], [(176, 160), (182, 210), (168, 258)], [(176, 320), (182, 372)]
    right_front = RIGHT.cut(*side_front, [(330, 372)], [(318, 262), (238, 84)])
    left_front = LEFT.cut(*side_front, [(334, 372)], [(332, 268)], [(300, 262), (238, 84)])
    for front, side in ((right_front, RIGHT), (left_front, LEFT)):
        armhole, waist = side.fan((174, 250), (-10, 80), 100, 6, 9, 4.6), side.fan((220, 366), (-120, -60), 90, 5, 7, 4)
        pieces.append(tube(front, gabardine, 0, 17, 26, [crumple(34, 2.8), armhole, waist], topstitch=(4,), thread=thread))
    flap = path([(338, 84), (416, 116)], [(400, 160), (394, 210), (405, 246)], [(358, 272), (306, 264)], [(330, 150), (338, 84)])
    pieces.append(Piece(flap, gabardine, 0, 5, 8, [crumple(34, 2.2)], lift=4, topstitch=(4,), thread=thread))
    for side in SIDES:
        lapel = side.cut([(236, 92), (258, 160), (298, 268)], [(250, 226), (206, 196)], [(206, 158)], [(222, 140)])
        collar = side.cut([(230, 78), (240, 110), (258, 158)], [(200, 152)], [(194, 116), (208, 88)], [(218, 80), (230, 78)])
        tab = quad(side.at(168, 124), side.at(214, 102), 15)
        pieces += [
            Piece(
                lapel,
                gabardine,
                side.grain(-20),
                6,
                9,
                [crumple(40, 1.6), side.crease((238, 150), (282, 250), 12, 2.4)],
                lift=5,
                topstitch=(4.5,),
                thread=thread,
            ),
            Piece(
                collar,
                gabardine,
                side.grain(-40),
                7,
                9,
                [side.crease((218, 96), (240, 148), 12, 2)],
                lift=5,
                topstitch=(4.5,),
                thread=thread,
            ),
            Piece(tab, gabardine, 90, 2.5, 4, topstitch=(2.5,), thread=thread, lift=2.5),
            *button(*side.at(206, 106), 4, horn),
        ]
    back = symmetric([(288, 64), (254, 67), (216, 88)], [(232, 98)], [(256, 86), (288, 84)])
    pieces.append(Piece(back, gabardine, 90, 5, 7, lift=3, topstitch=(4,), thread=thread))
    for x, y in ((242, 300), (314, 300), (238, 430), (310, 430), (236, 500), (310, 500)):
        pieces += button(x, y, 7.5, horn)
    belt = path(
        [(178, 352), (230, 358), (288, 360), (346, 358), (398, 352)],
        [(399, 378)],
        [(346, 385), (288, 387), (230, 385), (177, 378)],
    )
    tail = path([(316, 364), (342, 364)], [(353, 420), (361, 496)], [(348, 510)], [(335, 500)], [(330, 430), (316, 364)])
    pieces += [
        Piece(tail, gabardine, 0, 4, 6, [crumple(26, 1.6)], topstitch=(3,), thread=thread, lift=4),
        Piece(belt, gabardine, 90, 6, 8, [crumple(24, 1.6)], topstitch=(3, 9), thread=thread, lift=4),
        *buckle(288, 373, 19, 18, horn),
    ]
    for x in (206, 370):
        pieces.append(Piece(quad((x, 347), (x, 390), 8), gabardine, 0, 2.5, 3, lift=2))
    return pieces


def buckle(x: float, y: float, half_width: float, half_height: float, colour: str) -> list[Piece]:
    """A leather-covered frame with a prong, made of four bars and one."""
    leather = Cloth(colour, satin, mottle=0.02, sheen=0.25)
    corners = [(x + a * half_width, y + b * half_height) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    bars = [quad(a, b, 6) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    bars.append(quad((x - half_width, y), (x + half_width, y), 4))
    return [Piece(bar, leather, depth=2.5, roundness=2.5, lift=1.5, wobble=0) for bar in bars]


def pleated_skirt() -> list[Piece]:
    """A checked knife-pleated midi skirt with a plain waistband."""
    tartan = Cloth("#7c2f38", twill, check(42), "#e2c9a4", mottle=0.025, sheen=0.04)
    band_cloth = Cloth("#6f2a33", twill, mottle=0.025, sheen=0.05)
    left, right, count = (96, 664), (480, 664), 15
    u = np.linspace(0, 1, count * 6 + 1)
    drop = 26 * 4 * u * (1 - u) + 5 * (u * count % 1)
    edge = np.stack([left[0] + (right[0] - left[0]) * u, left[1] + drop], 1)
    sides = [path([(202, 128), (176, 230), (136, 440), left]), path([right, (440, 440), (400, 230), (374, 128)])]
    skirt = np.vstack([sides[0], edge, sides[1], path([(374, 128), (288, 138), (202, 128)])])
    inside = path([(110, 640), (288, 632), (466, 640)], [(478, 666)], [(288, 678), (98, 666)])
    waist = path(
        [(205, 92), (240, 99), (288, 101), (336, 99), (371, 92)],
        [(376, 130)],
        [(336, 139), (288, 141), (240, 139), (200, 130)],
    )
    back = symmetric([(288, 82), (240, 85), (208, 92)], [(240, 108), (288, 110)])
    return [
        Piece(back, band_cloth, 90, tone=0.4),
        Piece(inside, tartan, tone=0.4),
        tube(skirt, tartan, 0, 14, 30, [pleats(count, 7, 0.25), drape(4, 9, 0.0), crumple(50, 1.2)], lift=4, wobble=0.2),
        Piece(waist, band_cloth, 90, 6, 9, [crumple(30, 1.0)], topstitch=(3.5,), thread="#9a5a5f", lift=3),
        *button(346, 117, 6.5, "#2b1c16"),
        *button(364, 115, 6.5, "#2b1c16"),
    ]


def hoodie() -> list[Piece]:
    """A grey hooded sweatshirt with a kangaroo pocket, drawstrings and ribbed cuffs."""
    marl = Cloth("#9aa0a6", fleece, mottle=0.08, sheen=0.0)
    inner = Cloth("#878d94", fleece, mottle=0.08, sheen=0.0)
    ribbed = Cloth("#8f959c", rib(5.5, 1.6), mottle=0.05, sheen=0.0)
    thread, cord = "#7d838a", Cloth("#f0eee8", rib(3, 0.8), mottle=0.02)
    hood = symmetric([(288, 44), (240, 50), (208, 92), (206, 150)], [(236, 190), (288, 206)])
    opening = symmetric([(288, 66), (252, 74), (234, 110), (246, 160), (288, 196)])
    pieces = [
        Piece(hood, marl, 0, 16, 18, [crumple(30, 3), drape(3, 4, 0.6)], [Seam(path([(288, 44), (288, 68)]), thread)]),
        Piece(opening, inner, 0, 0, 8, [crumple(40, 5, 60), crease((250, 120), (320, 170), 16, -6)], tone=0.4, lift=0.5),
    ]
    for side in SIDES:
        sleeve = side.cut(
            [(196, 144), (154, 155), (114, 188), (90, 260), (70, 370), (48, 536), (55, 562)],
            [(80, 572), (107, 567)],
            [(116, 536), (138, 460), (160, 376), (172, 304)],
            [(184, 220), (196, 144)],
        )
        cuff = side.cut([(54, 552), (78, 562), (108, 558)], [(104, 610)], [(78, 616), (51, 606)])
        pieces += [
            Piece(cuff, ribbed, side.grain(4), 8, 11),
            tube(
                sleeve,
                marl,
                side.grain(10),
                19,
                21,
                [
                    crumple(30, 3, 25),
                    bunch(0.5, 0.17, 11, 4.1),
                    bunch(0.95, 0.12, 12, 4.5),
                    side.fan((164, 310), (120, 190), 84, 6, 9, 5.5),
                    side.crease((74, 370), (134, 412), 11, 6),
                    side.crease((138, 186), (98, 340), 13, 5),
                ],
                lift=4,
            ),
        ]
    hem_rib = path([(166, 610), (288, 618), (410, 610)], [(406, 654)], [(288, 664), (170, 654)])
    body = symmetric(
        [(288, 212), (244, 186), (214, 138)],
        [(152, 156)],
        [(166, 206), (172, 256), (164, 314)],
        [(156, 450), (152, 582), (169, 620)],
        [(210, 630), (288, 632)],
    )
    pocket = symmetric([(288, 462), (226, 462)], [(216, 492), (190, 536)], [(190, 602)], [(288, 606)])
    pieces += [
        Piece(hem_rib, ribbed, 0, 9, 12, [drape(6, 3, 0.8)]),
        tube(
            body,
            marl,
            0,
            22,
            40,
            [
                crumple(44, 4),
                drape(4, 5.5, 0.3),
                *(s.fan((168, 312), (-5, 75), 130, 6, 11, 5.5) for s in SIDES),
                *(s.crease((196, 172), (224, 350), 14, 5) for s in SIDES),
                crease((172, 580), (260, 420), 14, 4),
                crease((404, 560), (330, 420), 14, 4),
            ],
            [Seam(s.cut([(152, 156), (166, 206), (172, 256), (164, 314)]), thread) for s in SIDES],
            lift=4,
        ),
        Piece(pocket, marl, 0, 6, 9, [crumple(40, 3), drape(3, 3, 0.6)], lift=4, topstitch=(4, 7), thread=thread),
    ]
    for side in reversed(SIDES):
        edge = side.cut(
            [(214, 86), (236, 78)],
            [(232, 112), (248, 160), (302, 206)],
            [(290, 232)],
            [(226, 190), (206, 140), (214, 86)],
        )
        pieces.append(
            Piece(
                edge,
                marl,
                side.grain(-25),
                9,
                10,
                [crumple(34, 2.6), side.crease((222, 130), (276, 206), 12, 3.4)],
                lift=4,
                topstitch=(5,),
                thread=thread,
            )
        )
    for side, length in ((LEFT, 332), (RIGHT, 318)):
        line = [(266, 206), (262, 250), (268, length)]
        string = np.vstack([side.cut(line), side.cut([(x + 4.5, y) for x, y in line])[::-1]])
        tip = quad(side.at(270, length - 1), side.at(271, length + 13), 5.5)
        pieces += [
            Piece(string, cord, depth=2.5, roundness=2, lift=3, wobble=0.2),
            Piece(tip, Cloth("#c9ccd0", satin, sheen=0.5), depth=2, roundness=2, lift=2, wobble=0),
            *button(*side.at(268, 204), 5, "#b9bdc2", holes=False),
        ]
    return pieces


@dataclass(frozen=True)
class Example:
    """A picture: its title, a sentence for those who do not see it, the garment and what it lies on."""

    title: str
    alt: str
    garment: Callable[[], list[Piece]]
    ground: Callable[[], Piece]
    seed: int


EXAMPLES = {
    "midi_dress": Example(
        "Midi dress",
        "A sage green flowered midi dress with puff sleeves, a V neck and a gathered skirt.",
        dress,
        lambda: backdrop("#ebe5da"),
        11,
    ),
    "striped_shirt": Example(
        "Striped shirt",
        "A blue and white striped button-down shirt with a pointed collar and a chest pocket.",
        shirt,
        lambda: backdrop("#dfddd6"),
        12,
    ),
    "denim_jacket": Example(
        "Denim jacket",
        "A blue denim jacket with copper topstitching and metal buttons, lying on wooden boards.",
        denim_jacket,
        planks,
        13,
    ),
    "cable_sweater": Example(
        "Cable sweater",
        "A cream cable-knit sweater with ribbed neck, cuffs and hem on a teal cloth.",
        sweater,
        lambda: tablecloth("#5f7f80"),
        14,
    ),
    "wide_trousers": Example(
        "Wide-leg trousers",
        "Brown wide-leg trousers with a waistband, front pleats and pressed creases.",
        trousers,
        lambda: backdrop("#e6e3de"),
        15,
    ),
    "trench_coat": Example(
        "Trench coat",
        "A beige double-breasted trench coat with wide lapels and a buckled belt.",
        trench_coat,
        lambda: backdrop("#dcdfe0"),
        16,
    ),
    "pleated_skirt": Example(
        "Pleated skirt",
        "A red and russet checked skirt with knife pleats and a plain buttoned waistband.",
        pleated_skirt,
        lambda: backdrop("#e9e2d6"),
        17,
    ),
    "hoodie": Example(
        "Hooded sweatshirt",
        "A grey hooded sweatshirt with a kangaroo pocket, white drawstrings and ribbed cuffs.",
        hoodie,
        lambda: backdrop("#e8dcd2"),
        18,
    ),
}


def save(name: str, example: Example) -> Path:
    """Render one example to `<name>.jpg` beside this file."""
    picture = photograph(example.garment(), example.ground(), example.seed)
    file = HERE / f"{name}.jpg"
    Image.fromarray(picture).save(file, quality=88, optimize=True)
    return file


def main(names: list[str]) -> None:
    """Render the examples called `names`, or all of them and their list."""
    for name in names or EXAMPLES:
        print(save(name, EXAMPLES[name]))
    if not names:
        listing = [{"file": f"{name}.jpg", "title": e.title, "alt": e.alt} for name, e in EXAMPLES.items()]
        (HERE / "examples.json").write_text(json.dumps(listing, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

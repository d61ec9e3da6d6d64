"""The types of line that a garment has, in the order of the planes that hold them.

The procedural garments draw them, the draughtsman finds them in photographs, and the strokes are named by them.
"""

from __future__ import annotations

LINE_TYPES = ("silhouette", "seam", "edge", "topstitch", "fold", "fastening")

"""A second opinion on what the garment in a photograph is: U²-Net (Qin et al., Pattern Recognition 106, 2020).

It finds the object that stands out, whatever it is, and was never taught clothes. It fails elsewhere than the house's own
cut-out does, so that where both say the same, both are right: those pixels teach the draughtsman. Used in training alone.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fedgai.errors import FedGAIError

SIDE = 320  # px, of the square that the network sees
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, by which it is normalised


class SaliencyError(FedGAIError):
    """The network cannot be read. The message says what to do."""


class Saliency:
    """The network, from an ONNX file.

    Args:
        file: ``u2net.onnx``, 176 MB, as the project *rembg* publishes it (Apache-2.0).

    Raises:
        SaliencyError: it is not there, or is something else.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._network = cv2.dnn.readNetFromONNX(str(file))
            self._output = self._network.getUnconnectedOutLayersNames()[0]
        except (cv2.error, IndexError) as error:
            raise SaliencyError(f"{file} cannot be read as U²-Net; give the file u2net.onnx that rembg publishes") from error

    def look(self, photo: np.ndarray) -> np.ndarray:
        """How much each pixel belongs to what stands out: (SIDE, SIDE) uint8, 255 for surely.

        Args:
            photo: (H, W, 3) uint8 RGB.
        """
        square = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        small: np.ndarray = (square / max(float(square.max()), 1e-6) - np.array(MEAN)) / np.array(DEVIATION)
        self._network.setInput(np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32))
        seen = np.asarray(self._network.forward(self._output)[0, 0], np.float32)
        spread = max(float(seen.max() - seen.min()), 1e-6)
        return np.asarray((255 * (seen - seen.min()) / spread).round(), np.uint8)

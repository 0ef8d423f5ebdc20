"""The passive presentation-attack network of a pack: a live face, or a picture of one.

Source: Zhang and others, Silent-Face-Anti-Spoofing (MiniFASNet, 2020). What it says is one cue
among several, never a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime

from face_engine.types import Face, Pixels

SIDE_PX = 128
CROP_SCALE = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class PassiveNetwork:
    session: onnxruntime.InferenceSession

    def live(self, pixels: Pixels, face: Face) -> float:
        """The network's probability that the face is live, 0 to 1."""
        left, top, right, bottom = face.box
        side = max(right - left, bottom - top) * CROP_SCALE
        scale = SIDE_PX / side
        x, y = (left + right) / 2, (top + bottom) / 2
        motion = np.array(
            [[scale, 0, SIDE_PX / 2 - x * scale], [0, scale, SIDE_PX / 2 - y * scale]]
        )
        crop = cv2.warpAffine(
            pixels,
            motion,
            (SIDE_PX, SIDE_PX),
            flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        rgb = crop[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        live, spoof = self.session.run(None, {"input": rgb})[0][0]
        return float(1 / (1 + np.exp(np.clip(spoof - live, -50, 50))))

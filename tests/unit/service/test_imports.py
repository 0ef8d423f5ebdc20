from __future__ import annotations

import subprocess
import sys


def test_the_service_loads_no_vision_libraries() -> None:
    program = (
        "import sys, service.app;"
        "print(sorted({'cv2', 'onnxruntime', 'insightface', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"

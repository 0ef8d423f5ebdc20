"""onnxruntime sessions, with what the caller chose and nothing by default.

Guarantee: a session runs with the threads and on the provider that were named, or
:class:`ProviderError` says why not; onnxruntime alone would fall back to the CPU in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnxruntime

from face_engine.errors import ModelFileError, ProviderError

CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """``provider`` is one of ``PROVIDERS``; what it cannot run, the CPU does."""

    threads: int = 1
    provider: str = "cpu"

    @property
    def providers(self) -> list[str]:
        """onnxruntime's names, the chosen one first; raises :class:`ProviderError`."""
        name = PROVIDERS.get(self.provider)
        if name is None:
            raise ProviderError(
                f"no provider is called {self.provider!r}: there are {', '.join(PROVIDERS)}"
            )
        if name not in onnxruntime.get_available_providers():
            raise ProviderError(
                f"{self.provider} is not on this machine: the installed onnxruntime has "
                f"{', '.join(available_providers())}"
            )
        return list(dict.fromkeys([name, CPU]))

    @property
    def options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The arena keeps the largest look's memory for good, and gains no time here.
        options.enable_cpu_mem_arena = False
        return options


def available_providers() -> list[str]:
    """By our names, those that the installed onnxruntime has."""
    here = onnxruntime.get_available_providers()
    return [name for name, theirs in PROVIDERS.items() if theirs in here]


def open_session(model: bytes, *, name: str, runtime: Runtime) -> onnxruntime.InferenceSession:
    """Raises :class:`ModelFileError` for what is no network, and :class:`ProviderError`."""
    providers = runtime.providers
    try:
        session = onnxruntime.InferenceSession(model, runtime.options, providers=providers)
    except Exception as error:
        raise ModelFileError(f"{name} is not a network that onnxruntime can run") from error
    if session.get_providers()[0] != providers[0]:
        raise ProviderError(f"{runtime.provider} could not be started for {name}")
    return session

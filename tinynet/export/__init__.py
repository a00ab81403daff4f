"""Export of trained models to the formats of other runtimes."""

from tinynet.export.onnx import export_onnx

__all__ = ["export_onnx"]

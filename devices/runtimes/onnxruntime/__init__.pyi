from .cpu import quantise as quantise, write_onnx as write_onnx

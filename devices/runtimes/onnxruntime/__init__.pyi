from .cpu import build_onnx as build_onnx, quantise as quantise

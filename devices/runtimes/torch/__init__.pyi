from .cpu import TorchCpu as TorchCpu

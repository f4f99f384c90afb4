"""ExecuTorch on a CPU."""

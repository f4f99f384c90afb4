"""ncnn on a CPU: networks written directly."""

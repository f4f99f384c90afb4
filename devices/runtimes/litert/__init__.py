"""LiteRT on a CPU: TFLite models, written directly."""

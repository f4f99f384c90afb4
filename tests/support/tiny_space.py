"""A space so small that commands are done in seconds."""

SPACE = """
name = "tiny"
layers = [1, 2]
hidden = [16, 32, 16]
heads = [1, 2]
head_size = 16
feed_forward = [32, 64, 32]
"""

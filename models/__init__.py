"""What is timed and trained: architectures, spaces, TinyBert, SuperPLM, graphs."""

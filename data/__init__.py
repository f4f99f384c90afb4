"""Texts: corpora become packed token shards, and batches for training and scoring."""

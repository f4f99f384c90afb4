"""Weights: one-shot training of a SuperPLM, its starting point, its evaluation."""

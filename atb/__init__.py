"""AutoTinyBERT: measure, predict and search the best small BERT for a device."""

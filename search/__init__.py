"""Which architecture: limits, candidates, search methods, proxies, verification, export."""

"""How long it would take: work terms, regression, intervals, the predictor file."""

"""Structures in, predictions with uncertainty out: graphs, CGformer, baselines, ensembles, training.

This package knows nothing of campaigns, calculators or Prefect, and imports none of them.
"""

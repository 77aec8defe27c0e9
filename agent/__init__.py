"""Which composition to label next, and why: hosts, space, clusters, acquisition, ledger, stopping, back-test.

This package imports no torch, no Prefect, no model and, of the calculators, only the label.
"""

"""The campaign: configuration, Prefect flows, artifacts, plots, report and the command line.

This package puts the other three together; none of them imports it.
"""

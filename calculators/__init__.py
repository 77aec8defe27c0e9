"""A structure in, a label out: ASE, NEB, CHGNet, bond valence, VASP, schedulers.

This package knows nothing of campaigns, models or Prefect, and imports none of them.
"""

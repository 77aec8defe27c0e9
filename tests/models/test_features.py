import json

import numpy as np
import pytest

from models.features import COLUMNS, DIFFERENCES, check_numbers, element_data, feature_table, recomputed_bins


def published(shared) -> dict[int, np.ndarray]:
    text = (shared / "reference" / "cgformer" / "atom_init.json").read_text()
    return {int(number): np.array(vector, float) for number, vector in json.loads(text).items()}


def test_table_equals_the_published_vectors(shared):
    reference = published(shared)
    table = feature_table()
    assert len(reference) == 100
    for number, vector in reference.items():
        np.testing.assert_array_equal(table[number], vector)


def test_exactly_the_listed_bins_differ_from_element_data(shared):
    found = {}
    for number, vector in published(shared).items():
        for name, bin_ in recomputed_bins(number).items():
            start, width = COLUMNS[name]
            set_ = np.flatnonzero(vector[start : start + width])
            theirs = int(set_[0]) if len(set_) else None
            if theirs != bin_:
                found.setdefault(name, {})[element_data()[number]["symbol"]] = theirs
    assert found == DIFFERENCES


def test_vacancy_is_zero_and_elements_are_one_hot():
    table = feature_table()
    assert not table[0].any()
    for start, width in COLUMNS.values():
        assert table[:, start : start + width].sum(axis=1).max() == 1
    assert len(np.unique(table[1:], axis=0)) > 90  # hardly any two elements look alike


def test_an_element_outside_the_table_is_named():
    with pytest.raises(ValueError, match="NaCl-like: no elemental features for Rf"):
        check_numbers(np.array([11, 104]), "NaCl-like")

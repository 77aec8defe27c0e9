from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from flows.remembering import Remembered
from models.surrogates import CompositionForest


def test_it_answers_as_the_model_does_from_one_question_each(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = np.arange(30)[:, None]
    model = CompositionForest(rng.random((30, 4))).fit(rows[:10], rng.random(10))
    asked = Counter[str]()
    for name in ("predict", "predict_members", "embed"):
        real = getattr(model, name)
        monkeypatch.setattr(model, name, lambda *a, _n=name, _f=real, **k: (asked.update([_n]), _f(*a, **k))[1])
    remembered, some = Remembered(model, 30), np.array([[7], [3], [29], [7]])
    for _ in range(3):
        mean, sigma = remembered.predict(some, return_std=True)
        np.testing.assert_array_equal(remembered.predict(some), mean)
        members, embedded = remembered.predict_members(some), remembered.embed(some)
    assert asked == {"predict": 1, "predict_members": 1, "embed": 1}
    for found, real in zip((mean, sigma), model.predict(some, return_std=True), strict=True):
        np.testing.assert_allclose(found, real)
    np.testing.assert_allclose(members, model.predict_members(some))
    np.testing.assert_allclose(embedded, model.embed(some))
    with pytest.raises(TypeError, match="wrap the trained one anew"):
        remembered.fit(rows, rng.random(30))

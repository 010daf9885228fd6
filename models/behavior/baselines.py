"""What a model must be worth more than: the base rate, and a logistic regression that is given nothing
but counts of events."""

import numpy as np

from models.behavior.calibration import fit_calibration
from models.behavior.candidates import Logistic, rising_columns
from models.behavior.operating import COMMONER_FROM, operating_point
from models.behavior.slices import Prediction
from models.behavior.split import Dataset
from models.runtime.row import NUMERIC

BASE_RATE = "base rate"
COUNTS_ONLY = "logistic regression on counts"
COUNTS = np.array([i for i, f in enumerate(NUMERIC) if f.unit == "events"])
"""Columns of the models' input that count events."""


def base_rate(data: Dataset, prior: float) -> Prediction:
    return Prediction(np.full(len(data.parts.test), prior), COMMONER_FROM)


def counts_only(target: str, data: Dataset, columns: tuple[str, ...]) -> Prediction:
    """Trained, calibrated and given its threshold on the same rows as the model."""
    y, parts = data.labels[target], data.parts
    train, held, test = (data.inputs[at][:, COUNTS] for at in (parts.train, parts.calibrate, parts.test))
    rising = rising_columns(target, tuple(columns[i] for i in COUNTS))
    model = Logistic(train, y[parts.train], rising)
    calibration = fit_calibration(y[parts.calibrate], model.predict(held))
    chosen = operating_point(y[parts.calibrate], calibration.apply(model.predict(held)))
    return Prediction(calibration.apply(model.predict(test)), chosen.threshold)

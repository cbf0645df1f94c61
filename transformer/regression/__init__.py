"""The task ``regression``: named numbers for a picture."""

from transformer.regression.regressor import RegressionModel

TASK = RegressionModel

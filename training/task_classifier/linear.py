"""Softmax and logistic regression on sparse rows, with soft targets and weights: L-BFGS, one thread."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

__all__ = ["Array", "fit_softmax", "softmax"]

Array: TypeAlias = np.ndarray


def softmax(Z: Array) -> Array:
    """Rows of probabilities."""
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def fit_softmax(
    X: csr_matrix, Y: Array, weight: Array, penalty: float, rounds: int = 120
) -> tuple[Array, Array]:
    """(coefficients features × classes, intercepts) minimising weighted cross entropy plus an L2 penalty.

    ``Y`` holds target probabilities, so counts and fractions of right answers are fine.
    """
    n, features = X.shape
    classes = Y.shape[1]
    scale = weight / weight.sum()
    prior = np.log(np.maximum(scale @ Y, 1e-6))
    XT = X.T.tocsr()

    def loss(flat: Array) -> tuple[float, Array]:
        W = flat[: features * classes].reshape(features, classes)
        b = flat[features * classes :]
        Z = X @ W + b
        P = softmax(Z)
        value = -float(np.sum(scale[:, None] * Y * np.log(np.maximum(P, 1e-12))))
        G = scale[:, None] * (P * Y.sum(axis=1, keepdims=True) - Y)
        grad_W = XT @ G + (penalty / n) * W
        value += 0.5 * penalty / n * float(np.sum(W * W))
        return value, np.concatenate([np.asarray(grad_W).ravel(), G.sum(axis=0)])

    start = np.concatenate([np.zeros(features * classes), prior])
    done = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": rounds, "maxcor": 8})
    flat = done.x
    return flat[: features * classes].reshape(features, classes), flat[features * classes :]

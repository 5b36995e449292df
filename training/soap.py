"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner. Small nets learn by it in minutes.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, https://arxiv.org/abs/2409.11321

Pixels of a natural picture are so alike that the gradients of a first layer differ by orders of magnitude between
directions, and none of these directions is a single weight: Adam, which scales weights one by one, cannot see them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

EPSILON = 1e-12
EARLY_STEPS = (1, 5, 10)
"""The first gradients say little, so the bases are turned more often in the beginning."""


class Soap:
    """Steps the weights and biases of convolutions (or linear layers), each layer as one matrix.

    Weight and bias of a layer form a matrix (out, in * kernel * kernel + 1): inputs around mid-grey couple the bias
    to every weight, which is just what the preconditioner takes apart.

    Args:
        layers: whose `weight` and `bias` are to be stepped.
        beta1: memory of the mean gradient.
        beta2: memory of its square and of the two preconditioners.
        every: steps between two turns of the bases.
    """

    def __init__(
        self, layers: Iterable[nn.Conv2d | nn.Linear], beta1: float = 0.95, beta2: float = 0.99, every: int = 20
    ) -> None:
        self._layers = tuple(_LayerState(layer, beta1, beta2) for layer in layers)
        self._every = every
        self._steps = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update from the gradients of the last backward pass."""
        self._steps += 1
        turn = self._steps in EARLY_STEPS or self._steps % self._every == 0
        for state in self._layers:
            state.step(learning_rate, self._steps, turn)

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on, to be saved."""
        return {"steps": self._steps, "layers": [layer.tensors() for layer in self._layers]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where the optimiser that gave the state stood; of layers of the same shapes."""
        self._steps = state["steps"]
        for layer, tensors in zip(self._layers, state["layers"], strict=True):
            layer.restore(tensors)


MOMENTS: Final = ("mean", "square", "left", "right", "left_basis", "right_basis")
"""What a layer keeps from step to step."""


class _LayerState:
    """Moments and bases of one layer's (rows, columns) matrix."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, beta1: float, beta2: float) -> None:
        if layer.bias is None:
            raise ValueError("SOAP here takes layers with a bias only")
        self.weight, self.bias = layer.weight, layer.bias
        self.beta1, self.beta2 = beta1, beta2
        rows, columns = self.weight.shape[0], self.weight[0].numel() + 1
        self.mean = torch.zeros(rows, columns)  # of the gradient, in the weights' own basis
        self.square = torch.zeros(rows, columns)  # of the gradient, in the eigenbasis
        self.left, self.right = torch.zeros(rows, rows), torch.zeros(columns, columns)  # mean of G G', of G' G
        self.left_basis, self.right_basis = torch.eye(rows), torch.eye(columns)

    def step(self, learning_rate: float, steps: int, turn: bool) -> None:
        if self.weight.grad is None or self.bias.grad is None:
            raise ValueError("no gradient: call backward first")
        gradient = torch.cat((self.weight.grad.flatten(1), self.bias.grad[:, None]), dim=1)
        if steps == 1:  # no bases yet: the first gradient makes them
            self._learn_preconditioners(gradient, weight=1.0)
            self.left_basis, self.right_basis = _eigenbasis(self.left), _eigenbasis(self.right)
        self.mean.lerp_(gradient, 1 - self.beta1)
        self.square.lerp_((self.left_basis.T @ gradient @ self.right_basis) ** 2, 1 - self.beta2)
        mean = (self.left_basis.T @ self.mean @ self.right_basis) / (1 - self.beta1**steps)
        deviation = (self.square / (1 - self.beta2**steps)).sqrt() + EPSILON
        update = self.left_basis @ (mean / deviation) @ self.right_basis.T
        self.weight.sub_(update[:, :-1].view_as(self.weight), alpha=learning_rate)
        self.bias.sub_(update[:, -1], alpha=learning_rate)
        self._learn_preconditioners(gradient, weight=1 - self.beta2)
        if turn:
            self._turn()

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in MOMENTS}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name in MOMENTS:
            setattr(self, name, tensors[name].clone())

    def _learn_preconditioners(self, gradient: Tensor, weight: float) -> None:
        self.left.lerp_(gradient @ gradient.T, weight)
        self.right.lerp_(gradient.T @ gradient, weight)

    def _turn(self) -> None:
        """One power iteration towards the eigenbases; the squares follow their columns' new order."""
        self.left_basis, order = _power_iteration(self.left, self.left_basis)
        self.square = self.square[order]
        self.right_basis, order = _power_iteration(self.right, self.right_basis)
        self.square = self.square[:, order]


def _eigenbasis(matrix: Tensor) -> Tensor:
    """Eigenvectors of a symmetric matrix as columns, the largest eigenvalue first.

    In float64: LAPACK can fail in float32 on a first gradient that is 0 for many channels.
    """
    vectors: Tensor = torch.linalg.eigh(matrix.double()).eigenvectors
    return vectors.flip(1).to(matrix.dtype)


def _power_iteration(matrix: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """A basis nearer to the matrix's eigenvectors than the given one, and the order its columns were put in."""
    turned = matrix @ basis
    order = (basis * turned).sum(dim=0).argsort(descending=True)
    return torch.linalg.qr(turned[:, order]).Q, order

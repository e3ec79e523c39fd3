"""The descent of the fit: what it does when bounds lead a step astray."""

from types import SimpleNamespace

import torch

from starnet.inference.fit import levenberg
from starnet.inference.fit.problem import Point


class Bowl:
    """Two parameters, chi-square (x - 3)**2 + (y - 3)**2."""

    bounds = None

    def at(self, stars, x, slopes):
        off = 3.0 - x
        loss = off.square().sum(1)
        names = Point.__dataclass_fields__
        known = {
            "loss": loss,
            "chi2": loss,
            "gradient": off,
            "continuum": torch.zeros(len(x), 1, 1),
        }
        return Point(**{name: known.get(name, torch.zeros(len(x))) for name in names})


class Stars(SimpleNamespace):
    """Of which nothing is asked but their number."""

    def __len__(self):
        return self.n

    def __getitem__(self, rows):
        return Stars(n=len(rows), room=None)


def test_a_step_that_goes_uphill_is_shortened_and_is_no_end(monkeypatch):
    def step(hessian, gradient, damping, x, room, bounds):
        free = gradient / (1 + damping)[:, None]
        astray = torch.where((damping < 1.0)[:, None], -5 * gradient, free)
        return astray, torch.zeros(len(x), dtype=torch.bool)

    monkeypatch.setattr(levenberg, "solve_step", step)
    state = descended()
    assert torch.allclose(state.x, torch.full((2, 2), 3.0).double(), atol=0.05)


def test_a_step_that_a_facet_cuts_to_nothing_is_no_end(monkeypatch):
    def step(hessian, gradient, damping, x, room, bounds):
        cut = damping < 1.0
        free = gradient / (1 + damping)[:, None]
        return torch.where(cut[:, None], torch.zeros_like(free), free), cut

    monkeypatch.setattr(levenberg, "solve_step", step)
    state = descended()
    assert torch.allclose(state.x, torch.full((2, 2), 3.0).double(), atol=0.05)


def descended():
    problem, stars = Bowl(), Stars(n=2, room=None)
    x = torch.zeros(2, 2).double()
    eye = torch.eye(2).double().expand(2, 2, 2)
    state = levenberg.State.at(problem, stars, x, lambda *_: eye.clone())
    levenberg.run(problem, stars, state, 1e-4, 200, None)
    assert state.done.all()
    return state

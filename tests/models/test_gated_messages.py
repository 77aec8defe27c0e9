"""Messages by blocks, and their norm from moments, are CGCNN's formula: values, gradients, running statistics."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models import gated_messages
from models.cgcnn import BatchNormConvolution
from models.gated_messages import Bonds, GatedMessages, Moments
from models.layers import Convolution, Gaussians
from models.stores import GraphStore, HostGraphs

KINDS = {"own graphs": True, "a shared graph": False, "atoms without neighbours": False}


@pytest.fixture(params=KINDS)
def batch(request, nasicon, decorations):
    """Blocks end within crystals, and the last one is short."""
    if request.param == "a shared graph":
        batch = HostGraphs(nasicon, decorations).batch(np.arange(5))
    else:
        cell = nasicon.copy()
        cell.positions += np.random.default_rng(0).normal(0, 0.05, cell.positions.shape)
        if request.param != "own graphs":
            cell = cell[:1]
            cell.set_cell([6.0, 30.0, 30.0])
        batch = GraphStore([cell, nasicon, cell], whole_shells=False).batch(np.arange(3))
    assert batch.complete == KINDS[request.param]
    return batch


@pytest.fixture
def bonds(batch):
    """In double precision."""
    listed = None if batch.complete else torch.isfinite(batch.lengths)
    return Bonds(batch.neighbours, Gaussians()(batch.lengths).double(), listed)


def plain(convolution, nodes, bonds):
    """The formula as Xie & Grossman's code has it, every bond's vector written out."""
    t, k = bonds.neighbours.shape
    expanded = bonds.expanded.repeat(t // len(bonds.expanded), 1, 1)
    vectors = torch.cat([nodes[:, None].expand(t, k, -1), nodes[bonds.neighbours], expanded], dim=2)
    gate, core = convolution.bn1(convolution.fc_full(vectors).flatten(0, 1)).view(t, k, -1).chunk(2, dim=-1)
    messages = torch.sigmoid(gate) * functional.softplus(core)
    if bonds.listed is not None:
        messages = messages * bonds.listed.repeat(t // len(bonds.listed), 1)[..., None]
    return functional.softplus(nodes + convolution.bn2(messages.sum(dim=1)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("level", [0.0, 30.0])
def test_a_convolution_is_the_plain_formula(bonds, training, level):
    torch.manual_seed(0)
    ours, theirs = (BatchNormConvolution(8, 41).double() for _ in range(2))
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours.bn1.running_mean.normal_()
    theirs.load_state_dict(ours.state_dict())
    nodes = level + torch.randn(len(bonds.neighbours), 8, dtype=torch.double)
    weights = torch.randn_like(nodes)
    results = []
    for convolution, run in ((ours, ours.forward), (theirs, lambda *given: plain(theirs, *given))):
        convolution.train(training)
        inputs = nodes.clone().requires_grad_()
        new = run(inputs, bonds)
        (new * weights).sum().backward()
        gradients = {name: value.grad for name, value in convolution.named_parameters()}
        results.append([new, inputs.grad, gradients, convolution.state_dict()])
    # In training a norm takes the bias away again: no gradient there, and zero (rounded) here.
    (mine, bias), (_, zero) = ((gradients, gradients.pop("fc_full.bias")) for *_, gradients, _ in results)
    assert len(mine) == 5
    torch.testing.assert_close(torch.zeros_like(zero) if bias is None else bias, zero, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_in_single_precision_too_and_without_gradients(bonds):
    torch.manual_seed(0)
    convolution = BatchNormConvolution(64, 41)
    bonds = Bonds(bonds.neighbours, bonds.expanded.float(), bonds.listed)
    nodes = 5 + torch.randn(len(bonds.neighbours), 64)
    new = convolution(nodes, bonds)
    torch.testing.assert_close(new, plain(convolution, nodes, bonds), rtol=1e-5, atol=1e-5)
    convolution.eval()
    with torch.no_grad():
        torch.testing.assert_close(convolution(nodes, bonds), plain(convolution, nodes, bonds), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("swish", [False, True])
def test_the_gradient_is_the_numerical_one(monkeypatch, swish):
    monkeypatch.setattr(gated_messages, "BLOCK", 3)
    torch.manual_seed(1)
    t, k, w, e = 7, 3, 2, 4
    listed = torch.arange(k) < torch.randint(k + 1, (t, 1))
    bonds = Bonds(torch.randint(t, (t, k)), torch.rand(t, k, e, dtype=torch.double), listed)
    shapes = [(t, 2 * w), (t, 2 * w), (2 * w, e)]
    inputs = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *parts: GatedMessages.apply(*parts, bonds, swish), inputs)


def test_the_layer_norm_convolution_is_the_plain_formula(batch, bonds):
    torch.manual_seed(0)
    made = Convolution(8, 41).double()
    t, k = bonds.neighbours.shape
    listed = torch.ones(t, k, dtype=torch.bool) if bonds.listed is None else bonds.listed
    nodes = torch.randn(t, 8, dtype=torch.double)
    expanded = bonds.expanded.repeat(t // len(bonds.expanded), 1, 1)
    mixed = made.centre(nodes)[:, None] + made.other(nodes)[bonds.neighbours] + made.bond(expanded)
    gate, core = mixed.chunk(2, dim=-1)
    messages = torch.sigmoid(gate) * functional.silu(core) * listed.repeat(t // len(listed), 1)[..., None]
    expected = nodes + made.norm(messages.sum(dim=1) * made.scale)
    torch.testing.assert_close(made(nodes, batch.edge_index, bonds), expected, rtol=1e-9, atol=1e-9)
    # torch-geometric's own way: every message written out, then summed.
    made.fuse = False
    torch.testing.assert_close(made(nodes, batch.edge_index, bonds), expected, rtol=1e-9, atol=1e-9)


def test_moments_are_those_of_all_bonds_and_their_gradient_the_numerical_one():
    torch.manual_seed(2)
    t, k, w, e = 7, 3, 2, 4
    bonds = Bonds(torch.randint(t, (t, k)), torch.rand(t, k, e, dtype=torch.double), None)
    nodes = torch.randn(t, w, dtype=torch.double)
    nodes = nodes - nodes.mean(dim=0)
    vectors = torch.cat([nodes[:, None].expand(t, k, w), nodes[bonds.neighbours], bonds.expanded], dim=2).flatten(
        0, 1
    )
    mean, covariance = Moments.apply(nodes, bonds)
    torch.testing.assert_close(mean, vectors.mean(dim=0))
    torch.testing.assert_close(covariance, vectors.T.cov(correction=0))
    free = torch.randn(t, w, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Moments.apply(x - x.mean(dim=0), bonds), [free])


def test_extreme_messages_stay_finite():
    bonds = Bonds(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, 1), None)
    here = torch.tensor([[500.0, -500.0, -500.0, 500.0]], requires_grad=True)  # two gates, two turned cores
    out = GatedMessages.apply(here, torch.zeros(1, 4), torch.zeros(4, 1), bonds)
    out.sum().backward()
    assert out[0, 0] > 80
    assert out[0, 1] == 0
    assert torch.isfinite(here.grad).all()

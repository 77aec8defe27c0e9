"""Speed and memory of the models, each beside a named baseline on the same machine in the same run.

    python benchmarks/models_speed.py dense     inference and training step against the released code's algorithm
    python benchmarks/models_speed.py memory    peak memory of the same two, one process each
    python benchmarks/models_speed.py graphs    graph building against a loop over get_all_neighbors
    python benchmarks/models_speed.py space     148,995 compositions to mean and sigma
    python benchmarks/models_speed.py members   an ensemble's members on threads, one after another, and stacked
    python benchmarks/models_speed.py geometric our fused convolutions against torch-geometric's message passing

Times are CPU seconds of this process where other work may share the machine, and wall seconds where said.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from torch import nn
from torch.nn import functional

from models.batch import GraphBatch
from models.parallel import cores, one_thread
from models.released import ReleasedCGformer
from models.stores import GraphStore, HostGraphs


class DenseReference(nn.Module):
    """The released code's algorithm: unsplit convolutions, and attention as one dense matrix over the whole batch.

    It shares the parameters of a `ReleasedCGformer` and gives the same output.
    """

    def __init__(self, network: ReleasedCGformer):
        super().__init__()
        self.network = network

    def forward(self, batch: GraphBatch) -> torch.Tensor:
        net = self.network
        nodes = net.embedding(net.features[batch.numbers])
        bonds = net.basis(batch.lengths)
        t, k = batch.neighbours.shape
        for conv in net.convs:
            centre = nodes[:, None, :].expand(t, k, nodes.shape[1])
            mixed = conv.fc_full(torch.cat([centre, nodes[batch.neighbours], bonds], dim=2))
            gate, core = conv.bn1(mixed.view(t * k, -1)).view(t, k, -1).chunk(2, dim=2)
            summed = (torch.sigmoid(gate) * functional.softplus(core)).sum(dim=1)
            nodes = functional.softplus(nodes + conv.bn2(summed))
        adjacency = torch.zeros(t, t)
        adjacency[torch.arange(t).repeat_interleave(k), batch.neighbours.reshape(-1)] = 1
        inward = torch.bincount(batch.neighbours.reshape(-1), minlength=t)
        nodes = nodes + net.centrality_encoding(torch.full((t,), k), inward)
        for layer in net.graphormer_encoder.layers:
            normed, parts = layer.ln_1(nodes), []
            for head in layer.attention.heads:
                scores = head.q(normed) @ head.k(normed).T / math.sqrt(nodes.shape[1]) * adjacency
                scores = torch.where(scores == 0, torch.tensor(-1e6), scores)
                parts.append(torch.softmax(scores, dim=1) @ head.v(normed))
            nodes = nodes + layer.attention.linear(torch.cat(parts, dim=1))
            nodes = nodes + layer.ff(layer.ln_2(nodes))
        pooled = torch.stack([nodes[batch.crystal == index].mean(dim=0) for index in range(len(batch.sizes))])
        return net.fc_out(functional.softplus(net.conv_to_fc(functional.softplus(pooled))))[:, 0]


def nasicon(count: int, seed: int = 0) -> list[Atoms]:
    """Substituted NASICON-like cells of 80 atoms, rattled so that no two graphs are alike."""
    from agent.hosts import load_host

    sites = load_host("nzsp").sites()
    rng = np.random.default_rng(seed)
    zr, na = np.flatnonzero(sites.numbers == 40), np.flatnonzero(sites.numbers == 11)
    found = []
    for _ in range(count):
        atoms = sites.copy()
        atoms.numbers[rng.choice(zr, 4, replace=False)] = rng.choice([22, 32, 41, 21, 50, 72, 13, 39], 4)
        del atoms[rng.choice(na, 4, replace=False)]
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        found.append(atoms)
    return found


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Median CPU seconds after one warm-up."""
    function()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def alternating(functions: list[Callable[[], object]], rounds: int) -> np.ndarray:
    """CPU seconds (rounds, functions), taking turns, so that what else the machine does touches all alike.

    Every measurement follows an unmeasured call: caches and memory are as the function itself leaves them.
    """
    taken = np.zeros((rounds, len(functions)))
    for row in taken:
        for place, function in enumerate(functions):
            function()
            start = time.process_time()
            function()
            row[place] = time.process_time() - start
    return taken


def dense(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    sizes = [int(n) for n in args.crystals.split(",")]
    store = GraphStore(nasicon(max(sizes)), whole_shells=False)
    torch.manual_seed(0)
    ours = ReleasedCGformer().eval()
    theirs = DenseReference(ours)

    def infer(network: nn.Module, batch: GraphBatch) -> torch.Tensor:
        with torch.inference_mode():
            out = network(batch)
        return out[:, 0] if out.ndim == 2 else out

    def step(network: nn.Module, batch: GraphBatch) -> None:
        out = network(batch)
        (out[:, 0] if out.ndim == 2 else out).square().mean().backward()

    def timed(function: Callable[[nn.Module, GraphBatch], object], batch: GraphBatch) -> str:
        taken = alternating([lambda net=net: function(net, batch) for net in (theirs, ours)], args.rounds)
        ratios = taken[:, 0] / taken[:, 1]
        them, us = np.median(taken, axis=0)
        return f"{them:8.3f} {us:8.3f} {np.median(ratios):6.1f}x ({ratios.min():.1f} to {ratios.max():.1f})"

    print("medians, and the smallest and largest ratio")
    print(
        "crystals  inference: dense s, ours s, ratio       training step: dense s, ours s, ratio       max difference"
    )
    for n in sizes:
        batch = store.batch(np.arange(n))
        difference = float((infer(ours, batch) - infer(theirs, batch)).abs().max())
        inference = timed(infer, batch)
        ours.train()
        training = timed(step, batch)
        ours.eval()
        print(f"{n:8d}  {inference}    {training}    {difference:.1e}", flush=True)


def kibibytes(name: str) -> int:
    """A line of this process's status on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def memory(args: argparse.Namespace) -> None:
    """Peak resident memory beyond that of the loaded process, inference on one batch."""
    if args.which:
        torch.set_num_threads(1)
        store = GraphStore(nasicon(4), whole_shells=False)
        batch = store.batch(np.arange(args.crystals) % 4)
        network: nn.Module = ReleasedCGformer().eval()
        if args.which == "dense":
            network = DenseReference(network)  # type: ignore[arg-type]
        # What the imports once needed does not count: the kernel's high-water mark starts again here.
        Path("/proc/self/clear_refs").write_text("5")
        before = kibibytes("VmRSS")
        with torch.inference_mode():
            network(batch)
        print(kibibytes("VmHWM") - before)
        return
    peaks = {}
    for which in ("ours", "dense"):
        command = [sys.executable, __file__, "memory", "--crystals", str(args.crystals), "--which", which]
        peaks[which] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
        print(f"{which}: {peaks[which]:.0f} MiB for {args.crystals} crystals of 80 atoms", flush=True)
    print(f"ratio {peaks['dense'] / peaks['ours']:.1f}x")


def graphs(args: argparse.Namespace) -> None:
    from pymatgen.io.ase import AseAtomsAdaptor

    from models.cache import build_graphs

    structures = nasicon(args.crystals)
    crystals = [AseAtomsAdaptor.get_structure(atoms) for atoms in structures]

    def loop() -> None:
        for crystal in crystals:
            for shell in crystal.get_all_neighbors(8.0, include_index=True):
                nearest = sorted(shell, key=lambda neighbour: neighbour.nn_distance)[:12]
                [neighbour.index for neighbour in nearest]

    names = [str(number) for number in range(len(structures))]
    theirs, ours = seconds(loop, 1), seconds(lambda: build_graphs(structures, names), 1)
    n = len(structures)
    print(
        f"get_all_neighbors loop {theirs / n * 1e3:.1f} ms, ours {ours / n * 1e3:.1f} ms a graph:"
        f" {theirs / ours:.1f}x"
    )
    print("(CPU time; ours holds all pairs within 8 Å for the spatial encoding besides the neighbour lists)")


def space(args: argparse.Namespace) -> None:
    """The paper's space on the 84-site host, from compositions to mean and sigma.

    Of its C(45,4) = 148,995 compositions those that no mobile-ion content balances cannot be drawn; rows beyond the
    drawable ones are second orderings.
    """
    from agent.hosts import load_host
    from agent.ordering import draw_numbers
    from agent.space import Equimolar, SpaceConfig, build_space
    from models.ensemble import CGformerEnsemble, EnsembleConfig
    from models.training import TrainConfig

    host = load_host("nzsp")
    compositions = build_space(host, SpaceConfig(generator=Equimolar(), filters=[])).compositions
    print(f"{len(compositions)} compositions, {cores()} cores, 5 members")
    quick = EnsembleConfig(train=TrainConfig(epochs=1, min_steps=0))
    first = HostGraphs(host.sites(), draw_numbers(host, compositions[:8]))
    ensemble = CGformerEnsemble(first, quick, members=5).fit(np.arange(8)[:, None], np.linspace(0.2, 0.5, 8))
    for size in map(int, args.sizes.split(",")):
        chosen = compositions[:: max(1, len(compositions) // size)][:size]
        wall, cpu = time.time(), time.process_time()
        numbers = draw_numbers(host, chosen)
        if size > len(chosen):
            numbers = np.concatenate([numbers, draw_numbers(host, chosen[: size - len(chosen)], index=1)])
        drawn = time.process_time() - cpu
        ensemble.store = HostGraphs(host.sites(), numbers)
        _, sigma = ensemble.predict(np.arange(len(numbers))[:, None], return_std=True)
        wall, cpu = time.time() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"{len(sigma):7d} compositions: {wall:6.1f} s wall, {cpu:6.1f} s CPU ({drawn:.1f} s of it orderings), "
            f"{len(sigma) / wall:6.0f} compositions/s wall, {len(sigma) / cpu:6.0f} per CPU second, "
            f"peak {peak:.2f} GiB",
            flush=True,
        )


def members(args: argparse.Namespace) -> None:
    """A step of five members: one after another, on threads, and stacked with torch.func."""
    from torch.func import functional_call, stack_module_state, vmap

    from models.cgformer import CGformer, CGformerConfig
    from models.parallel import side_by_side

    structures = nasicon(1)
    numbers = np.repeat(structures[0].numbers[None], 16, axis=0)
    batch = HostGraphs(structures[0], numbers).batch(np.arange(16))
    networks = []
    for seed in range(5):
        torch.manual_seed(seed)
        networks.append(CGformer(CGformerConfig.one_host()))

    def step(network: nn.Module) -> None:
        network(batch)[:, 0].square().mean().backward()

    from torch.nn.attention import SDPBackend, sdpa_kernel

    stacked, buffers = stack_module_state(networks)  # type: ignore[arg-type]

    def loss(parameters: dict, constants: dict) -> torch.Tensor:
        return functional_call(networks[0], (parameters, constants), (batch,))[:, 0].square().mean()

    def together() -> None:
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernel has no batching rule
            vmap(loss)(stacked, buffers).sum().backward()

    def wall(function: Callable[[], object]) -> float:
        function()
        taken = []
        for _ in range(7):
            start = time.time()
            function()
            taken.append(time.time() - start)
        return min(taken)

    ways: dict[str, Callable[[], object]] = {
        "one after another, torch's threads": lambda: [step(network) for network in networks],
        "one thread each, on all cores": lambda: side_by_side(lambda network, _: step(network), networks),
        "stacked parameters (torch.func.vmap)": together,
    }
    torch.set_num_threads(cores())
    base = None
    for name, way in ways.items():
        try:
            taken = wall(way)
        except RuntimeError as error:
            print(f"{name}: not possible ({str(error).splitlines()[0][:90]})")
            continue
        base = base or taken
        print(f"{name}: {taken * 1e3:.0f} ms a step of 5 x 16 crystals, {base / taken:.2f}x", flush=True)
    with one_thread():
        print(f"one after another, one thread: {wall(lambda: [step(network) for network in networks]) * 1e3:.0f} ms")


def geometric(args: argparse.Namespace) -> None:
    """A convolution, forward and back, with every message written out and with our kernel in its place."""
    from torch_geometric.nn import CGConv

    from models.cgcnn import BatchNormConvolution
    from models.gated_messages import Bonds
    from models.layers import Convolution, Gaussians

    torch.set_num_threads(1)
    width, basis = 64, Gaussians()
    batch = GraphStore(nasicon(args.crystals), whole_shells=False).batch(np.arange(args.crystals))
    nodes = torch.randn(len(batch.numbers), width)
    # A network computes the expansion once for all of its convolutions.
    bonds, edges = Bonds(batch.neighbours, basis(batch.lengths, reach=True), None), batch.edge_index
    cgcnn, plain, fused = BatchNormConvolution(width, len(basis)), *(Convolution(width, len(basis)) for _ in range(2))
    theirs = CGConv(width, bonds.along_edges.shape[1], batch_norm=True)
    with torch.no_grad():
        # CGConv has [centre, other, bond] in this order too, and one batch norm, on the sums.
        full = cgcnn.fc_full.weight[:, : 2 * width + bonds.along_edges.shape[1]]
        theirs.lin_f.weight.copy_(full[:width])
        theirs.lin_s.weight.copy_(full[width:])
    plain.load_state_dict(fused.state_dict())
    plain.fuse = False

    def step(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        function(nodes.clone().requires_grad_()).square().mean().backward()

    ways = {
        "CGCNN's: CGConv (one of its two norms), ours": (
            lambda: step(lambda seen: theirs(seen, edges, bonds.along_edges)),
            lambda: step(lambda seen: cgcnn(seen, bonds)),
        ),
        "CGformer's: message and aggregate, fused": (
            lambda: step(lambda seen: plain(seen, edges, bonds)),
            lambda: step(lambda seen: fused(seen, edges, bonds)),
        ),
    }
    print(f"{args.crystals} crystals of 80 atoms, CPU ms: torch-geometric, ours, ratio (smallest and largest)")
    for name, (way, own) in ways.items():
        taken = alternating([way, own], 7)
        ratios = taken[:, 0] / taken[:, 1]
        them, us = np.median(taken, axis=0) * 1e3
        print(f"{name}: {them:.1f} {us:.1f} {np.median(ratios):.1f}x ({ratios.min():.1f} to {ratios.max():.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function, option, default, kind in (
        (dense, "--crystals", "8,16,32,64", str),
        (memory, "--crystals", 256, int),
        (graphs, "--crystals", 50, int),
        (geometric, "--crystals", 64, int),
        (space, "--sizes", "1000,10000,148995", str),
    ):
        command = commands.add_parser(function.__name__)
        command.add_argument(option, default=default, type=kind)
        command.set_defaults(action=function)
        if function is memory:
            command.add_argument("--which", choices=("ours", "dense"), default="")
        if function is dense:
            command.add_argument("--rounds", type=int, default=5)
    commands.add_parser("members").set_defaults(action=members)
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()

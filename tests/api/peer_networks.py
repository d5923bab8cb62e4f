#!/usr/bin/python3
"""Prints what PyTorch (Debian's python3-torch) reaches on the networks of test_networks.py: the mean and the spread of the held-out accuracy over five
seeds. Its figures stand there as literals. Same data, split, scaling, initial distributions (Glorot, zeros), batch, epochs and optimizer."""
import csv
import pathlib
import statistics

import torch

N, F = torch.nn, torch.nn.functional
torch.set_num_threads(1)
rows = list(csv.reader((pathlib.Path(__file__).parents[1] / "fixtures/data/digits.csv").open()))[1:]
x = torch.tensor([[float(v) for v in row[:-1]] for row in rows]).reshape(-1, 8, 8)
y = torch.tensor([int(row[-1]) for row in rows])
x = (x - x[:1400].mean()) / x[:1400].std(unbiased=False)


def glorot(module):
    for name, p in module.named_parameters():
        if p.dim() > 1:
            N.init.xavier_uniform_(p)
        elif "bias" in name:
            N.init.zeros_(p)


class Residual(N.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.b1 = N.Conv2d(1, 16, 3, padding=1), N.BatchNorm2d(16, 1e-3, 0.01)
        self.c2, self.b2, self.out = N.Conv2d(16, 16, 3, padding=1), N.BatchNorm2d(16, 1e-3, 0.01), N.Linear(16, 10)

    def forward(self, x):
        r = torch.relu(self.b1(self.c1(x[:, None])))
        return self.out(torch.relu(self.b2(self.c2(r)) + r).mean((2, 3)))


class Lstm(N.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = N.LSTM(8, 24, batch_first=True, bidirectional=True), N.Linear(48, 10)

    def forward(self, x):
        h = self.lstm(x)[1][0]
        return self.out(torch.cat([h[0], h[1]], 1))


class Encoder(N.Module):
    def __init__(self):
        super().__init__()
        self.into, self.attend, self.n1, self.n2 = N.Linear(8, 16), N.MultiheadAttention(16, 2, batch_first=True), N.LayerNorm(16, 1e-3), N.LayerNorm(16, 1e-3)
        self.f1, self.f2, self.out = N.Linear(16, 32), N.Linear(32, 16), N.Linear(16, 10)
        at = torch.arange(8.)[:, None] / 10000 ** (torch.arange(0, 16, 2) / 16)
        self.where = torch.stack([at.sin(), at.cos()], 2).reshape(8, 16)

    def forward(self, x):
        a = self.into(x) + self.where
        a = self.n1(a + self.attend(a, a, a)[0])
        return self.out(self.n2(a + self.f2(torch.relu(self.f1(a)))).mean(1))


def score(kind, seed, epochs, rate):
    torch.manual_seed(seed)
    net = kind()
    glorot(net)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for _ in range(epochs):
        net.train()
        order = torch.randperm(1400)
        for i in range(0, 1400, 32):
            some = order[i:i + 32]
            optimizer.zero_grad()
            F.cross_entropy(net(x[some]), y[some]).backward()
            optimizer.step()
    net.eval()
    return (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()


for kind, epochs, rate in ((Residual, 25, 0.003), (Lstm, 25, 0.005), (Encoder, 40, 0.003)):
    got = [score(kind, seed, epochs, rate) for seed in range(5)]
    print(kind.__name__, "%.4f" % statistics.mean(got), "%.4f" % statistics.stdev(got))

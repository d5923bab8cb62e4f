"""peer_ensemble.py JOB.json DATA.csv - the networks of a finished ensemble job in eager PyTorch: the same layers, folds, epochs, batch sizes and
optimizers. Each family is trained for a few epochs with each implementation of the optimizer; the best is scaled up to the epochs that the job's members
took. Prints one JSON line. THREADS (1): of PyTorch; OPENBLAS_NUM_THREADS is to be the same. SECONDS (2) is the least time of a measure."""
import json, os, resource, sys, time
import numpy, torch, torch.nn as nn

SECONDS = float(os.environ.get("SECONDS", "2"))
THREADS = int(os.environ.get("THREADS", "1"))
ACTIVATIONS = {"relu": nn.ReLU, "selu": nn.SELU, "mish": nn.Mish}


class Embedding(nn.Module):
    """Piecewise linear, as rtdl_num_embeddings computes it: one product for each number."""
    def __init__(self, X, bins, width):
        super().__init__()
        edges = torch.quantile(X, torch.linspace(0, 1, bins + 1), dim=0).T
        self.weight, self.bias = 1 / (edges[:, 1:] - edges[:, :-1]), -edges[:, :-1] / (edges[:, 1:] - edges[:, :-1])
        self.kernel, self.shift = nn.Parameter(torch.randn(X.shape[1], bins, width) / bins ** 0.5), nn.Parameter(torch.zeros(X.shape[1], width))

    def forward(self, x):
        v = torch.addcmul(self.bias, self.weight, x[..., None])
        v = torch.cat([v[..., :1].clamp_max(1), v[..., 1:-1].clamp(0, 1), v[..., -1:].clamp_min(0)], -1)
        return (torch.bmm(v.transpose(0, 1), self.kernel).transpose(0, 1) + self.shift).flatten(1)


class Factors(nn.Module):
    """A factor for each input; with members one for each of theirs: (B, in) becomes (B, members, in)."""
    def __init__(self, *shape):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return (x[:, None] if self.factors.dim() == 2 else x) * self.factors


class MemberOutputs(nn.Module):
    """A dense layer for each member: (B, members, in) becomes (B, members, out)."""
    def __init__(self, members, width, units):
        super().__init__()
        self.kernel, self.shift = nn.Parameter(torch.randn(members, width, units) / width ** 0.5), nn.Parameter(torch.zeros(members, 1, units))

    def forward(self, x):
        return torch.baddbmm(self.shift, x.transpose(0, 1), self.kernel).transpose(0, 1)


class ScaledLinear(nn.Module):
    """The neural tangent parametrisation: x W / sqrt(in) + b."""
    def __init__(self, width, units):
        super().__init__()
        self.weight, self.bias, self.factor = nn.Parameter(torch.randn(units, width)), nn.Parameter(torch.randn(units)), width ** -0.5

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight.T, alpha=self.factor)


def network(layers, X):
    """The module, which ends before the head: the losses take what the head would."""
    modules, width, members = [], X.shape[1], 0
    for layer in layers:
        kind = layer["type"]
        if kind == "dense":
            modules.append((ScaledLinear if layer["parametrization"] == "ntk" else nn.Linear)(width, layer["units"]))
            width = layer["units"]
            if layer["activation"] in ACTIVATIONS:
                modules.append(ACTIVATIONS[layer["activation"]]())
        elif kind == "dropout":
            modules.append(nn.Dropout(layer["rate"]))
        elif kind == "piecewise_linear_embedding":
            modules.append(Embedding(X, layer["bins"], layer["output_dim"]))
            width *= layer["output_dim"]
        elif kind == "ensemble":
            members = layer["members"]
            modules.append(Factors(members, width))
        elif kind == "ensemble_dense":
            modules.append(MemberOutputs(members, width, layer["units"]))
            width = layer["units"]
        elif kind == "scale":
            modules.append(Factors(width))
        else:
            sys.exit("peer_ensemble.py does not know the layer %s" % kind)
    return nn.Sequential(*modules)


def optimizer(net, given, foreach):
    """Its parameters in groups where the job has learning rates or weight decay of their own."""
    options = {"lr": given["learning_rate"], "betas": (given["beta_1"], given["beta_2"]), "eps": given["epsilon"], "foreach": foreach}
    if given["type"] == "adam":
        return torch.optim.Adam(net.parameters(), **options)
    if given["weight_decay_on"] == "all":
        return torch.optim.AdamW(net.parameters(), weight_decay=given["weight_decay"], **options)
    kernels = [p for m in net if isinstance(m, ScaledLinear) for p in (m.weight,)]
    biases = [p for m in net if isinstance(m, ScaledLinear) for p in (m.bias,)]
    factors = [p for m in net if isinstance(m, Factors) for p in m.parameters()]
    return torch.optim.AdamW([{"params": kernels, "weight_decay": given["weight_decay"]}, {"params": biases, "lr": 0.1 * given["learning_rate"], "weight_decay": 0},
                              {"params": factors, "lr": 6 * given["learning_rate"], "weight_decay": 0}], **options)


def epoch(net, opt, loss, data, batch):
    X, Y, X_val, Y_val = data
    net.train()
    order = torch.randperm(len(X))
    for i in range(0, len(X), batch):
        rows = order[i:i + batch]
        opt.zero_grad(set_to_none=True)
        z = net(X[rows])
        loss(z, Y[rows].expand(z.shape[:-1]) if z.dim() == 2 else Y[rows][:, None].expand(z.shape[:-1])).backward()
        opt.step()
    net.eval()
    with torch.inference_mode():
        z = net(X_val)
        p = torch.sigmoid(z[..., 0])
        p = p.mean(1) if p.dim() == 2 else p
        return float(nn.functional.binary_cross_entropy(p.clamp(1e-7, 1 - 1e-7), Y_val)), float(((p > 0.5) == (Y_val > 0.5)).float().mean())


def seconds_per_epoch(family, data, foreach):
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    options, net = family["options"], network(family["definition"]["layers"], data[0])
    opt = optimizer(net, options["optimizer"], foreach)
    bce = nn.BCEWithLogitsLoss()
    loss = lambda z, y: bce(z[..., 0], y)
    epoch(net, opt, loss, data, options["batch_size"])
    begin, count = time.perf_counter(), 0
    busy = resource.getrusage(resource.RUSAGE_SELF)
    while count < 2 or time.perf_counter() - begin < SECONDS:
        epoch(net, opt, loss, data, options["batch_size"])
        count += 1
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (time.perf_counter() - begin) / count, (after.ru_utime + after.ru_stime - busy.ru_utime - busy.ru_stime) / count


def main():
    job = json.load(open(sys.argv[1]))
    rows = [line.rstrip("\n").split(",") for line in open(sys.argv[2])][1:]
    X = torch.tensor(numpy.array([row[:-1] for row in rows], dtype="f4"))
    Y = torch.tensor([float(row[-1] == rows[0][-1]) for row in rows])
    X, cut = (X - X.mean(0)) / X.std(0), len(X) * 4 // 5
    data = (X[:cut], Y[:cut], X[cut:], Y[cut:])
    families = []
    for family in job["ensemble"]["families"]:
        epochs = sum(f["epochs"] for f in job["cross_validation"]["folds"] if f["family"] == family["name"])
        wall, busy = (min(found) for found in zip(*(seconds_per_epoch(family, data, foreach) for foreach in (False, True))))
        families.append({"family": family["name"], "epochs": epochs, "seconds": wall * epochs, "busy": busy * epochs, "threads": THREADS})
    print(json.dumps({"peer": "torch", "families": families}))


main()

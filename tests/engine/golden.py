#!/usr/bin/python3
"""Golden values from PyTorch, in double: forward, gradients of inputs and parameters, ten steps of each optimizer.

Run with Debian's python3-torch to renew the fixture; test_golden.c compares. engine.txt is full, so layers.txt has what
came later. Format, one item a line:
  net <layers in the notation of support.h>
  mode training           as a mini-batch is trained (batch_norm); without it as in inference
  loss <name>             shape <sample's dimensions>
  tensor <name> <n> <numbers>   x, y, weights (optional), loss, a (predictions), dx, W <layer/tensor>, dW <layer/tensor>,
                                S <layer/tensor> (moving statistics after a late update, in training)
  optimizer <name> <param=value ...>   followed by tensors W, g (10 n), after (10 n)
  schedule <name> <param=value ...>   followed by tensors epochs (2: epochs, steps per epoch), factors (one a step), observed (optional: one an epoch)
  end
"""
import json
import math
import sys
import torch

torch.manual_seed(20240517)
torch.set_default_dtype(torch.float64)
folder = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/golden"
out = open(folder + "/engine.txt", "w")


def single(t):
    """Rounded to what float32 holds, so that both sides start from the same numbers."""
    return t.to(torch.float32).to(torch.float64)


def tensor(name, t):
    t = t.detach().reshape(-1)
    t = torch.where(t.abs() < 1e-14, torch.zeros_like(t), t)  # what is 0 but for rounding: the gradient of a key's bias
    print("tensor", name, t.numel(), *["%.9g" % v for v in t.tolist()], file=out)


F = torch.nn.functional
ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.3),
    "leaky_relu:0.1": lambda z: F.leaky_relu(z, 0.1),
    "elu": F.elu,
    "elu:0.5": lambda z: F.elu(z, 0.5),
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu:1": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "softmax": lambda z: torch.softmax(z, -1),
}
FUSED = "cross_entropy", "binary_cross_entropy", "focal", "kl_divergence", "poisson", "tweedie", "gamma", "msle", "dice", "ordinal"


def focal(log_p, gamma):
    return -(1 - log_p.exp()) ** gamma * log_p


def gaussian_nll(z, y):
    m, s = z.unflatten(-1, (-1, 2)).flatten(1, -2).unbind(-1)
    return F.gaussian_nll_loss(m, y.flatten(1), s.exp() + 1e-6, reduction="none").mean(1), z


def quantile(z, y, quantiles):
    q = torch.tensor(quantiles)
    e = y.unsqueeze(-1) - z.unflatten(-1, (-1, len(q)))
    return torch.maximum(q * e, (q - 1) * e).flatten(1).mean(1), z


def ordinal(z):
    """Probabilities of classes from P(class >= k) = sigmoid(g_k)."""
    g = torch.cat([z[..., :1] - z[..., 1:2], -F.softplus(z[..., 2:])], -1).cumsum(-1)
    above = torch.cat([torch.ones_like(g[..., :1]), torch.sigmoid(g), torch.zeros_like(g[..., :1])], -1)
    return above[..., :-1] - above[..., 1:]


def dice(z, y, smooth=0.0):
    p, y = torch.sigmoid(z), y.reshape(z.shape)
    both, all_ = (p * y).flatten(1).sum(1), (p + y).flatten(1).sum(1)
    return 1 - (2 * both + smooth) / (all_ + smooth + 1e-7), p


LOSSES = {  # per sample, predictions
    "dice": dice,
    "gamma": lambda z, y: ((z + y * torch.exp(-z)).flatten(1).mean(1), z.exp()),
    "msle": lambda z, y: (((torch.log1p(z.exp()) - torch.log1p(y)) ** 2).flatten(1).mean(1), z.exp()),
    "ordinal": lambda z, y: (F.nll_loss(ordinal(z).log(), y.long().flatten(), reduction="none"), ordinal(z)),
    "tweedie": lambda z, y, power=1.5: (
        (z.exp() ** (2 - power) / (2 - power) - y * z.exp() ** (1 - power) / (1 - power)).flatten(1).mean(1), z.exp()),
    "mse": lambda z, y: (((z - y) ** 2).flatten(1).mean(1), z),
    "mae": lambda z, y: ((z - y).abs().flatten(1).mean(1), z),
    "cosine": lambda z, y: (1 - F.cosine_similarity(z.flatten(1), y.flatten(1)), z),
    "cross_entropy": lambda z, y, label_smoothing=0.0: (
        F.cross_entropy(z, y.long().flatten(), reduction="none", label_smoothing=label_smoothing), torch.softmax(z, -1)),
    "focal": lambda z, y, gamma=2.0: (focal(F.log_softmax(z, -1).gather(1, y.long()).flatten(), gamma), torch.softmax(z, -1)),
    "gaussian_nll": gaussian_nll,
    "hinge": lambda z, y: (F.relu(1 - (2 * y - 1) * z).flatten(1).mean(1), z),
    "huber": lambda z, y, delta=1.0: (F.huber_loss(z, y, reduction="none", delta=delta).flatten(1).mean(1), z),
    "kl_divergence": lambda z, y: (F.kl_div(F.log_softmax(z, -1), y, reduction="none").sum(1), torch.softmax(z, -1)),
    "log_cosh": lambda z, y: (torch.log(torch.cosh(z - y)).flatten(1).mean(1), z),
    "poisson": lambda z, y: (F.poisson_nll_loss(z, y, reduction="none").flatten(1).mean(1), z.exp()),
    "quantile": quantile,
    "binary_cross_entropy": lambda z, y: (
        F.binary_cross_entropy_with_logits(z, y, reduction="none").flatten(1).mean(1), torch.sigmoid(z)),
}


def ints(given, name, n, preset):
    """"2" or "2,3" as n integers."""
    values = [int(v) for v in str(given.get(name, preset)).split(",")]
    return values * n if len(values) == 1 else values


def dense(a, given, make):
    units, fan = int(given["units"]), a[0].shape[-1]
    z = a[0] @ make("kernel", [fan, units], fan ** -0.5)
    return z + make("bias", [units], 0.3) if given.get("use_bias", "1") == "1" else z


def layer_norm(a, given, make):
    x, n = a[0], a[0].shape[-1]
    gamma = make("gamma", [n], 1) if given.get("scale", "1") == "1" else None
    beta = make("beta", [n], 0.3) if given.get("center", "1") == "1" else None
    return F.layer_norm(x, [n], gamma, beta, float(given.get("epsilon", 1e-3)))


def padded(x, given, size, axes, dilation, stride, fill=0.0):
    """x (B, C, ...) with the cells around it that "padding" asks for, and how many lie before and after along each axis."""
    kind, around = given.get("padding", "valid"), []
    for k in range(axes):
        if kind == "same":
            n = x.shape[2 + k]
            lacking = max((-(-n // stride[k]) - 1) * stride[k] + dilation[k] * (size[k] - 1) + 1 - n, 0)
            around.append((lacking // 2, lacking - lacking // 2))
        elif kind == "causal":
            around.append((dilation[k] * (size[k] - 1), 0))
        else:
            around.append((0, 0) if kind == "valid" else (ints(given, "padding", axes, 0)[k],) * 2)
    return F.pad(x, [n for pair in reversed(around) for n in pair], value=fill)


def conv(axes):
    def layer(a, given, make):
        size, stride = ints(given, "kernel_size", axes, 0), ints(given, "strides", axes, 1)
        dilation, groups, filters = ints(given, "dilation_rate", axes, 1), int(given.get("groups", 1)), int(given["filters"])
        each = a[0].shape[-1] // groups
        W = make("kernel", [*size, each, filters], (each * size[0] * size[-1]) ** -0.5)
        b = make("bias", [filters], 0.3) if given.get("use_bias", "1") == "1" else None
        x = padded(a[0].movedim(-1, 1), given, size, axes, dilation, stride).contiguous()
        f = F.conv2d if axes == 2 else F.conv1d
        return f(x, W.movedim((-1, -2), (0, 1)), b, stride, 0, dilation, groups).movedim(1, -1)
    return layer


def convolved(axes, a, given, W, b, groups):
    """a (B, in..., C) with W (size..., C / groups, filters)."""
    size, stride, dilation = W.shape[:axes], ints(given, "strides", axes, 1), ints(given, "dilation_rate", axes, 1)
    x = padded(a.movedim(-1, 1), given, size, axes, dilation, stride).contiguous()
    f = F.conv2d if axes == 2 else F.conv1d
    return f(x, W.movedim((-1, -2), (0, 1)), b, stride, 0, dilation, groups).movedim(1, -1)


def depthwise_conv(axes):
    def layer(a, given, make):
        size, C, M = ints(given, "kernel_size", axes, 0), a[0].shape[-1], int(given.get("depth_multiplier", 1))
        W = make("depthwise_kernel", [*size, C, M], math.prod(size) ** -0.5)
        b = make("bias", [C * M], 0.3) if given.get("use_bias", "1") == "1" else None
        return convolved(axes, a[0], given, W.reshape(*size, 1, C * M), b, C)
    return layer


def separable_conv(axes):
    def layer(a, given, make):
        size, C, M, filters = ints(given, "kernel_size", axes, 0), a[0].shape[-1], int(given.get("depth_multiplier", 1)), int(given["filters"])
        W = make("depthwise_kernel", [*size, C, M], math.prod(size) ** -0.5)
        P = make("pointwise_kernel", [*[1] * axes, C * M, filters], (C * M) ** -0.5)
        b = make("bias", [filters], 0.3) if given.get("use_bias", "1") == "1" else None
        return convolved(axes, convolved(axes, a[0], given, W.reshape(*size, 1, C * M), None, C), {}, P, b, 1)
    return layer


def conv_transpose(axes):
    """The whole transposed convolution, of which the cells that Keras 3 or PyTorch's padding keep are cut out."""
    def layer(a, given, make):
        size, stride, dilation = ints(given, "kernel_size", axes, 0), ints(given, "strides", axes, 1), ints(given, "dilation_rate", axes, 1)
        C, filters, kind = a[0].shape[-1], int(given["filters"]), given.get("padding", "valid")
        W = make("kernel", [*size, filters, C], (C * math.prod(size)) ** -0.5)
        b = make("bias", [filters], 0.3) if given.get("use_bias", "1") == "1" else torch.zeros(filters)
        f = F.conv_transpose2d if axes == 2 else F.conv_transpose1d
        z = f(a[0].movedim(-1, 1).contiguous(), W.movedim((-1, -2), (0, 1)).contiguous(), None, stride, dilation=dilation)
        for k in range(axes):
            n, reach = a[0].shape[1 + k], dilation[k] * (size[k] - 1) + 1
            if kind not in ("valid", "same") or "output_padding" in given:
                before = reach // 2 if kind == "same" else 0 if kind == "valid" else ints(given, "padding", axes, 0)[k]
                length = (n - 1) * stride[k] + reach - 2 * before + ints(given, "output_padding", axes, 0)[k]
            else:
                before = max(reach - stride[k], 0) // 2 if kind == "same" else 0
                length = n * stride[k] if kind == "same" else (n - 1) * stride[k] + max(reach, stride[k])
            z = F.pad(z, [0, 0] * (axes - 1 - k) + [0, 64]).narrow(2 + k, before, length)
        return z.movedim(1, -1) + b
    return layer


def pool(axes, kind):
    def layer(a, given, make):
        size = ints(given, "pool_size", axes, 2)
        stride = [s or n for s, n in zip(ints(given, "strides", axes, 0), size)]

        def windows(x, fill):
            x = padded(x.movedim(-1, 1), given, size, axes, [1] * axes, stride, fill)
            for k in range(axes):
                x = x.unfold(2 + k, size[k], stride[k])
            return x.movedim(1, -1 - axes).flatten(-axes)  # (B, out..., C, cells)

        if kind == "max":
            return windows(a[0], -1e9).max(-1)[0]
        return windows(a[0], 0.0).sum(-1) / windows(torch.ones_like(a[0]), 0.0).sum(-1)
    return layer


def positional_encoding(a, given, make):
    steps, width = a[0].shape[1:]
    t, j = torch.arange(steps).double()[:, None], torch.arange(width)[None, :]
    angle = t / float(given.get("max_wavelength", 10000)) ** ((j - j % 2) / width)
    return a[0] + torch.where(j % 2 == 0, torch.sin(angle), torch.cos(angle))


def multi_head_attention(a, given, make):
    x, heads = a[0], int(given["num_heads"])
    y = a[min(1, len(a) - 1)]
    z = a[min(2, len(a) - 1)]
    D = x.shape[-1]
    P = heads * (int(given.get("key_dim", 0)) or D // heads)
    roles = ["query", "key", "value", "output"]
    read = {"query": x, "key": z, "value": y}
    ins = {r: P if r == "output" else read[r].shape[-1] for r in roles}
    W = {r: make(r + "_kernel", [ins[r], D if r == "output" else P], ins[r] ** -0.5) for r in roles}
    b = {r: make(r + "_bias", [D if r == "output" else P], 0.3) for r in roles}
    q, k, v = [(read[r] @ W[r] + b[r]).unflatten(-1, (heads, P // heads)).transpose(1, 2) for r in roles[:3]]
    if MASK[0] is not None and P == D:  # PyTorch's own, with its key_padding_mask (True: left out)
        hidden, MASK[0] = ~MASK[0], MASK[0] if len(a) == 1 else None  # that of a second input ends here
        return F.multi_head_attention_forward(
            *[t.transpose(0, 1) for t in (x, z, y)], D, heads, None, torch.cat([b[r] for r in roles[:3]]), None, None, False, 0.0, W["output"].T,
            b["output"], key_padding_mask=hidden, use_separate_proj_weight=True, q_proj_weight=W["query"].T, k_proj_weight=W["key"].T,
            v_proj_weight=W["value"].T)[0].transpose(0, 1)
    scores = q @ k.transpose(-1, -2) * (P // heads) ** -0.5
    if given.get("use_causal_mask", "0") == "1":
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), float("-inf"))
    shares = torch.softmax(scores, -1)
    if "dropout" in given:
        shares = shares * dropped(len(x), shares[0].numel(), float(given["dropout"]), 1).reshape(shares.shape)
    return (shares @ v).transpose(1, 2).flatten(2) @ W["output"] + b["output"]


def recurrent(kind):
    def layer(a, given, make):
        x, H, mask = a[0], int(given["units"]), MASK[0]
        gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
        both, sequences = given.get("bidirectional", "0") == "1", given.get("return_sequences", "0") == "1"

        def order(W):  # PyTorch's gru has the reset gate first
            return torch.cat([W[..., H:2 * H], W[..., :H], W[..., 2 * H:]], -1) if kind == "gru" else W

        weights, plain = [], []
        for prefix in ["", "backward_"][:1 + both]:
            W = make(prefix + "kernel", [x.shape[-1], gates * H], x.shape[-1] ** -0.5)
            U = make(prefix + "recurrent_kernel", [H, gates * H], H ** -0.5)
            b = make(prefix + "bias", [2, gates * H] if kind == "gru" else [gates * H], 0.3)
            plain += [(W, U, b)]
            biases = [order(b[0]), order(b[1])] if kind == "gru" else [b, torch.zeros_like(b)]
            weights += [order(W).T.contiguous(), order(U).T.contiguous(), *biases]
        if "dropout" in given or "recurrent_dropout" in given:
            rates = [float(given.get(name, 0)) for name in ("dropout", "recurrent_dropout")]
            walks = []
            for way, w in enumerate(plain):
                masks = [dropped(len(x), n, rate, 2 * way + 1 + k) for k, (n, rate) in enumerate(zip((x.shape[-1], H), rates))]
                walks.append(unrolled(kind, x.flip(1) if way else x, H, w, *masks))
            if sequences:
                return torch.cat([w.flip(1) if way else w for way, w in enumerate(walks)], -1)
            return torch.cat([w[:, -1] for w in walks], -1)
        first = torch.zeros(1 + both, len(x), H)
        options = (weights, True, 1, 0.0, False, both)
        cell = {"lstm": torch._VF.lstm, "gru": torch._VF.gru, "rnn": torch._VF.rnn_tanh}[kind]
        first = (first, first) if kind == "lstm" else first
        if mask is None:
            every, last = cell(x, first, *options, True)[:2]
        else:
            rnn = torch.nn.utils.rnn
            packed = rnn.pack_padded_sequence(x, mask.sum(1), batch_first=True, enforce_sorted=False)
            data, last = cell(packed.data, packed.batch_sizes, first, *options)[:2]
            every = rnn.pad_packed_sequence(packed._replace(data=data), batch_first=True, total_length=x.shape[1])[0]
            last = last[:, packed.unsorted_indices]
            MASK[0] = mask if sequences else None
        return every if sequences else torch.cat(list(last), -1)
    return layer


MASK = [None]  # (B, steps) of what the next layer reads: which steps are there
TRAINING = [False]


def masking(a, given, make):
    MASK[0] = (a[0] != float(given.get("mask_value", 0))).flatten(2).any(2)
    return a[0]


def embedding(a, given, make):
    if given.get("mask_zero", "0") == "1":
        MASK[0] = a[0] != 0
    return F.embedding(a[0].long(), make("embeddings", [int(given["input_dim"]), int(given["output_dim"])], 1))


def global_pool(kind):
    def layer(a, given, make):
        mask, MASK[0], MEMBERS[0] = MASK[0], None, 0
        if mask is None:
            return a[0].flatten(1, -2).mean(1) if kind == "average" else a[0].flatten(1, -2).max(1)[0]
        rows = [row[steps].flatten(0, -2) for row, steps in zip(a[0], mask)]
        return torch.stack([row.mean(0) if kind == "average" else row.max(0)[0] for row in rows])
    return layer


def batch_norm(a, given, make):
    """PyTorch's, over the steps that are there; its momentum is one minus ours."""
    x, C = a[0], a[0].shape[-1]
    mean, variance = make("moving_mean", [C], 0.5, state=True), make("moving_variance", [C], 0.5, state=True)
    gamma = make("gamma", [C], 1) if given.get("scale", "1") == "1" else None
    beta = make("beta", [C], 0.3) if given.get("center", "1") == "1" else None
    options = gamma, beta, TRAINING[0], 1 - float(given.get("momentum", 0.99)), float(given.get("epsilon", 1e-3))
    if MASK[0] is None:
        return F.batch_norm(x.movedim(-1, 1), mean, variance, *options).movedim(1, -1)
    there = MASK[0].reshape(MASK[0].shape + (1,) * (x.dim() - 3)).expand(x.shape[:-1])
    return torch.zeros_like(x).masked_scatter(there.unsqueeze(-1), F.batch_norm(x[there], mean, variance, *options))


NODE = [0]  # the layer's number in its network


def philox(seed, stream, counter):
    """The four words of Philox 4x32-10 at (seed, stream, counter)."""
    c, k = [counter & 0xFFFFFFFF, counter >> 32, stream & 0xFFFFFFFF, stream >> 32], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def draws(sample):
    """The first two numbers within -1..1 that the layer draws for a sample, in the first update of a training with seed 1."""
    key = philox(1, 3 << 32 | NODE[0], 0)
    words = philox(key[0] << 32 | key[1], sample, 0)
    return [2 * ((words[i] << 32 | words[i + 1]) >> 11) / 2 ** 53 - 1 for i in (0, 2)]


def warped(x, theta, given):
    """x (B, H, W, C) through grid_sample; theta: the affine maps of affine_grid, in cells from the middle (x to the right, y down)."""
    H, W = x.shape[1:3]
    fill, value = given.get("fill", "reflect"), float(given.get("fill_value", 0))
    y, x_ = torch.meshgrid(torch.arange(H) - (H - 1) / 2, torch.arange(W) - (W - 1) / 2, indexing="ij")
    at = torch.stack([x_, y, torch.ones(H, W)], -1) @ torch.tensor(theta).double().transpose(1, 2).unsqueeze(1)  # (B, H, W, 2)
    images = x.movedim(-1, 1) - value
    if fill == "wrap":
        images = images.tile(1, 1, 5, 5)
    grid = 2 * at / torch.tensor([images.shape[3], images.shape[2]])
    mode = {"constant": "zeros", "wrap": "zeros", "nearest": "border", "reflect": "reflection"}[fill]
    return F.grid_sample(images, grid, padding_mode=mode, align_corners=False).movedim(1, -1) + value


def random_rotation(a, given, make):
    turns = [2 * math.pi * float(given["factor"]) * draws(i)[0] for i in range(len(a[0]))]
    return warped(a[0], [[[math.cos(t), math.sin(t), 0], [-math.sin(t), math.cos(t), 0]] for t in turns], given) if TRAINING[0] else a[0]


def random_translation(a, given, make):
    H, W = a[0].shape[1:3]
    shifts = [(u * float(given["height_factor"]) * H, v * float(given["width_factor"]) * W) for u, v in map(draws, range(len(a[0])))]
    if given.get("interpolation") == "nearest":
        shifts = [(math.floor(down + 0.5), math.floor(right + 0.5)) for down, right in shifts]
    return warped(a[0], [[[1, 0, -right], [0, 1, -down]] for down, right in shifts], given) if TRAINING[0] else a[0]


def random_flip(a, given, make):
    axes = {"horizontal": [2], "vertical": [1], "both": [1, 2]}[given.get("mode", "horizontal")]
    images = []
    for i, image in enumerate(a[0]):
        key = philox(1, 3 << 32 | NODE[0], 0)
        coins = philox(key[0] << 32 | key[1], i, 0)[0]
        images.append(image.flip([axis - 1 for axis in axes if coins >> 32 - axis & 1]))
    return torch.stack(images) if TRAINING[0] else a[0]


MEMBERS = [0]  # of what the next layer reads: (B, members, ...)


def ensemble(a, given, make):
    MEMBERS[0] = int(given.get("members", 8))
    return a[0].unsqueeze(1) * make("factors", [MEMBERS[0], a[0].shape[1]], 1)


def ensemble_dense(a, given, make):
    units, (members, fan) = int(given["units"]), a[0].shape[1:]
    z = torch.bmm(a[0].transpose(0, 1), make("kernel", [members, fan, units], fan ** -0.5)).transpose(0, 1)
    return z + make("bias", [members, units], 0.3) if given.get("use_bias", "1") == "1" else z


def piecewise_linear_embedding(a, given, make):
    """The encoding of the paper, of which the end bins go on for as many widths as there are bins, and a linear map of each feature."""
    x, bins, width = a[0], int(given.get("bins", 16)), int(given.get("output_dim", 8))
    n = x.shape[1]
    edges = make("edges", [n, bins + 1], 1, state=True)
    low, high = torch.zeros(bins), torch.ones(bins)
    low[0], high[-1] = -bins, bins + 1
    part = (x[:, :, None] - edges[:, :-1]) / (edges[:, 1:] - edges[:, :-1])
    z = torch.einsum("bnt,ntd->bnd", torch.minimum(torch.maximum(part, low), high), make("kernel", [n, bins, width], bins ** -0.5))
    z = z + make("bias", [n, width], 0.3) if given.get("use_bias", "1") == "1" else z
    return z.flatten(1)


def expanded(a):
    """The inputs with axes of size 1 after the batch, so that they broadcast at their last axes."""
    rank = max(x.dim() for x in a)
    return [x.reshape(len(x), *[1] * (rank - x.dim()), *x.shape[1:]) for x in a]


def dropped(batch, size, rate, which=0):
    """The mask (batch, size) that the layer draws in the first update of a training with seed 1; ones when nothing is trained."""
    if not TRAINING[0] or rate == 0:
        return torch.ones(batch, size)
    key = philox(1, 3 << 32 | NODE[0], 0)
    rows = [[word for block in range(-(-size // 4)) for word in philox(key[0] << 32 | key[1], which << 48 | i, block)][:size] for i in range(batch)]
    return torch.where(torch.tensor(rows) < int(rate * 2 ** 32), 0.0, 1 / (1 - rate))


def spatial_dropout(a, given, make):
    mask = dropped(len(a[0]), a[0].shape[-1], float(given["rate"]))
    return a[0] * mask.reshape(len(mask), *[1] * (a[0].dim() - 2), -1)


def unrolled(kind, x, H, weights, mask_x, mask_h):
    """One walk, step by step, with masks: (B, T, H)."""
    W, U, b = weights
    x, h, c, states = x * mask_x[:, None], torch.zeros(len(x), H), torch.zeros(len(x), H), []
    for t in range(x.shape[1]):
        z, r = x[:, t] @ W + (b[0] if kind == "gru" else b), (h * mask_h) @ U + (b[1] if kind == "gru" else 0)
        if kind == "rnn":
            h = torch.tanh(z + r)
        elif kind == "lstm":
            i, f, g, o = (z + r).split(H, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            (zu, zr, zn), (ru, rr, rn) = z.split(H, -1), r.split(H, -1)
            u = torch.sigmoid(zu + ru)
            h = u * h + (1 - u) * torch.tanh(zn + torch.sigmoid(zr + rr) * rn)
        states.append(h)
    return torch.stack(states, 1)


def rms_norm(a, given, make):
    x = a[0]
    return x * torch.rsqrt((x ** 2).mean(-1, keepdim=True) + float(given.get("epsilon", 1e-6))) * make("gamma", [x.shape[-1]], 1)


def group_norm(a, given, make):
    x, C = a[0].movedim(-1, 1), a[0].shape[-1]
    groups = int(given.get("groups", 32))
    gamma = make("gamma", [C], 1) if given.get("scale", "1") == "1" else torch.ones(C)
    beta = make("beta", [C], 0.3) if given.get("center", "1") == "1" else torch.zeros(C)
    return F.group_norm(x.contiguous(), C if groups < 0 else groups, gamma, beta, float(given.get("epsilon", 1e-3))).movedim(1, -1)


def border(axes, preset, sign):
    def layer(a, given, make):
        n = ints(given, "padding" if sign > 0 else "cropping", 1, preset)
        n = n * 2 * axes if len(n) == 1 else [v for v in n for _ in range(2)] if len(n) == axes else n
        return F.pad(a[0].movedim(-1, 1), [sign * n[i] for k in reversed(range(axes)) for i in (2 * k, 2 * k + 1)]).movedim(1, -1)
    return layer


def upsampling(axes):
    def layer(a, given, make):
        mode = {"nearest": "nearest", "bilinear": "bilinear"}[given.get("interpolation", "nearest")]
        size = [float(n) for n in ints(given, "size", axes, 2)]
        return F.interpolate(a[0].movedim(-1, 1), scale_factor=size, mode=mode).movedim(1, -1).contiguous()
    return layer


def dot(a, given, make):
    axes = ints(given, "axes", 2, "")
    if given.get("normalize", "0") == "1":
        a = [F.normalize(x, dim=axis) for x, axis in zip(a, axes)]
    axes = [[axis - (axis > 0)] for axis in axes]  # without the batch
    rows = [torch.tensordot(x, y, axes) for x, y in zip(*a)]
    return torch.stack(rows).reshape(len(rows), *rows[0].shape or [1])


LAYERS = {  # inputs (a list), parameters, make(name, shape, deviation) for weights
    "activation": lambda a, given, make: a[0],
    "add": lambda a, given, make: sum(expanded(a)),
    "average": lambda a, given, make: torch.stack(torch.broadcast_tensors(*expanded(a))).mean(0),
    "weighted_average": lambda a, given, make: sum(w * x for w, x in zip(make("weights", [len(a)], 0.5), a)),
    "average_pool1d": pool(1, "average"),
    "average_pool2d": pool(2, "average"),
    "batch_norm": batch_norm,
    "concatenate": lambda a, given, make: torch.cat(a, int(given.get("axis", -1))),
    "conv1d": conv(1),
    "conv2d": conv(2),
    "conv1d_transpose": conv_transpose(1),
    "conv2d_transpose": conv_transpose(2),
    "depthwise_conv1d": depthwise_conv(1),
    "depthwise_conv2d": depthwise_conv(2),
    "separable_conv1d": separable_conv(1),
    "separable_conv2d": separable_conv(2),
    "cropping1d": border(1, 1, -1),
    "cropping2d": border(2, 0, -1),
    "dense": dense,
    "dot": dot,
    "dropout": lambda a, given, make: a[0],
    "embedding": embedding,
    "ensemble": ensemble,
    "ensemble_dense": ensemble_dense,
    "flatten": lambda a, given, make: a[0].flatten(1),
    "gaussian_noise": lambda a, given, make: a[0],
    "global_average_pool": global_pool("average"),
    "global_max_pool": global_pool("max"),
    "group_norm": group_norm,
    "gru": recurrent("gru"),
    "layer_norm": layer_norm,
    "lstm": recurrent("lstm"),
    "masking": masking,
    "max_pool1d": pool(1, "max"),
    "max_pool2d": pool(2, "max"),
    "maximum": lambda a, given, make: torch.stack(torch.broadcast_tensors(*expanded(a))).amax(0),
    "minimum": lambda a, given, make: torch.stack(torch.broadcast_tensors(*expanded(a))).amin(0),
    "multi_head_attention": multi_head_attention,
    "piecewise_linear_embedding": piecewise_linear_embedding,
    "multiply": lambda a, given, make: torch.stack(torch.broadcast_tensors(*expanded(a))).prod(0),
    "permute": lambda a, given, make: a[0].permute(0, *ints(given, "dims", 1, "")),
    "position_embedding": lambda a, given, make: a[0] + make("embeddings", a[0].shape[1:], 0.5),
    "positional_encoding": positional_encoding,
    "random_flip": random_flip,
    "random_rotation": random_rotation,
    "random_translation": random_translation,
    "rms_norm": rms_norm,
    "rnn": recurrent("rnn"),
    "spatial_dropout": spatial_dropout,
    "subtract": lambda a, given, make: torch.sub(*expanded(a)),
    "repeat_vector": lambda a, given, make: a[0].unsqueeze(1).repeat(1, int(given["n"]), 1),
    "reshape": lambda a, given, make: a[0].reshape(len(a[0]), *ints(given, "target_shape", 0, "")),
    "upsampling1d": upsampling(1),
    "upsampling2d": upsampling(2),
    "zero_padding1d": border(1, 1, 1),
    "zero_padding2d": border(2, 1, 1),
}


def net(spec, loss, shape, batch=6, weighted=False, scale=1.0, training=False, lengths=None):
    print("net", spec, file=out)
    if training:
        print("mode training", file=out)
    MASK[0], MEMBERS[0], TRAINING[0] = None, 0, training
    print("loss", loss, file=out)
    print("shape", *shape, file=out)
    layers = [item.split() for item in spec.split(";")]
    if layers[0][0] == "embedding":
        indices = int(dict(p.split("=") for p in layers[0][1:])["input_dim"])
        x = torch.randint(1 if lengths else 0, indices, (batch, *shape)).to(torch.float64)
    else:
        x = single(torch.randn(batch, *shape) * scale)
    for row, length in zip(x, lengths or []):
        row[length:] = 0
    x.requires_grad_()
    a, nodes, counts, parameters, states = x, {"x": x}, {}, [], []
    for number, (kind, *params) in enumerate(layers):
        given = dict(p.split("=") for p in params)
        if "name" not in given:
            counts[kind] = counts.get(kind, 0) + 1
        layer = given.get("name", "%s_%d" % (kind, counts.get(kind, 0)))

        def make(name, size, deviation, state=False):
            if state:
                W = single(torch.randn(size) * deviation if name.endswith("mean") else 0.5 + torch.rand(size))
                W = single(torch.randn(size)).sort(-1)[0] if name == "edges" else W
                states.append(("%s/%s" % (layer, name), W, W.clone()))
                return W
            W = single(torch.randn(size) * (deviation * (scale if name == "kernel" else 1))).requires_grad_()
            parameters.append(("%s/%s" % (layer, name), W))
            return W

        NODE[0] = number
        f = ACTIVATIONS[given.get("activation", "linear") if given.get("activation") != "prelu" else "linear"]
        # softmax, sigmoid at the output are fused by the loss: PyTorch's losses take pre-activations
        fused = number + 1 == len(layers) and loss.split()[0] in FUSED
        a = LAYERS[kind]([nodes[name] for name in given["in"].split(",")] if "in" in given else [a], given, make)
        if not fused:
            a = f(a)
        if given.get("activation") == "prelu":
            a = F.prelu(a.movedim(-1, 1), make("alpha", [a.shape[-1]], 0.3)).movedim(1, -1)
        nodes[layer] = a
    name, options = loss.split()[0], dict(p.split("=") for p in loss.split()[1:])
    options = {key: [float(v) for v in value.split(",")] if key == "quantiles" else float(value) for key, value in options.items()}
    z = a[:, 0] if MEMBERS[0] else a  # what a prediction is made of
    outputs = {"gaussian_nll": 2, "quantile": len(options.get("quantiles", ""))}.get(name, 1)
    by_position = name in ("cross_entropy", "focal", "binary_cross_entropy", "ordinal") and z.dim() > 2
    if by_position:  # a class for each, -1 for none
        y = torch.randint(0, max(2, z.shape[-1]), z.shape[:-1])
        y = torch.where(torch.rand(y.shape) < 0.2, -1, y).to(torch.float64)
    elif name in ("cross_entropy", "focal", "ordinal"):
        y = torch.randint(0, z.shape[-1], (batch, 1)).to(torch.float64)
    elif name == "binary_cross_entropy":
        y = torch.randint(0, 2, (batch, 1)).to(torch.float64)
    elif name == "kl_divergence":
        y = single(torch.softmax(torch.randn(z.shape), -1))
    elif name in ("hinge", "dice"):
        y = torch.randint(0, 2, z.shape).to(torch.float64)
    elif name in ("gamma", "msle", "tweedie"):
        y = single(torch.relu(torch.randn(z.shape)) * 3 + (0.1 if name == "gamma" else 0))
    elif name == "poisson":
        y = torch.randint(0, 5, z.shape).to(torch.float64)
    else:
        y = single(torch.randn(*z.shape[:-1], z.shape[-1] // outputs))
    weights = single(torch.rand(batch) * 2) if weighted else torch.ones(batch)
    mask = MASK[0]
    if by_position or mask is not None:  # each position that is there and has a class counts once, and what its sample does
        flat = y.clamp(min=0).reshape(-1, 1) if by_position else y.flatten(0, 1)
        losses, predictions = LOSSES[name](z.flatten(0, -2) if by_position else z.flatten(0, 1), flat, **options)
        shape = y.shape if by_position else mask.shape
        there = torch.ones(shape) if mask is None else mask.reshape(*mask.shape, *[1] * (len(shape) - 2)).expand(shape)
        counts = there * weights.reshape(-1, *[1] * (len(shape) - 1)) * ((y >= 0) if by_position else 1)
        mean = (losses.reshape(shape) * counts).sum() / counts.sum()
    else:  # the mean of the members' losses, the mean of their predictions
        each = [LOSSES[name](one, y, **options) for one in (a.unbind(1) if MEMBERS[0] else [a])]
        per_sample, predictions = [torch.stack(of_members).mean(0) for of_members in zip(*each)]
        mean = (per_sample * weights).sum() / weights.sum()
    mean.backward()
    value = mean * weights.sum()
    tensor("x", x)
    tensor("y", y)
    if weighted:
        tensor("weights", weights)
    tensor("loss", value)
    tensor("a", predictions)
    tensor("dx", x.grad if x.grad is not None else torch.zeros_like(x))
    for name, p in parameters:
        tensor("W " + name, p)
        tensor("dW " + name, p.grad)
    for name, after, before in states:
        tensor("W " + name, before)
        if training:
            tensor("S " + name, after)
    print("end", file=out)


for name in ACTIVATIONS:
    net("dense units=5 activation=%s" % name, "mse", [4], scale=1.7)
    net("dense units=4; activation activation=%s; dense units=2" % name, "mse", [3], scale=1.7)
net("dense units=3 use_bias=0", "mse", [7])
net("dense units=17 activation=relu; dense units=9 activation=tanh; dense units=1", "mse", [15], batch=33)
net("dense units=5 activation=tanh; dense units=2", "mse", [3, 4])
net("dense units=3 activation=softmax", "mse", [2, 3, 4], batch=3)
net("flatten; dense units=6 activation=silu; reshape target_shape=2,3; dense units=2", "mse", [2, 2, 3])
net("dense units=3; flatten", "mse", [2, 4])
net("dense units=4 activation=relu; dense units=3", "mae", [5], weighted=True)
net("dense units=4 activation=relu; dense units=3", "mse", [5], weighted=True)
net("dense units=8 activation=relu; dense units=3 activation=softmax", "cross_entropy", [4], batch=40)
net("dense units=8 activation=relu; dense units=40", "cross_entropy", [4], batch=9, weighted=True)
net("dense units=3; activation activation=softmax", "cross_entropy", [4], scale=4.0)
net("dense units=8 activation=tanh; dense units=1 activation=sigmoid", "binary_cross_entropy", [4], batch=20)
net("dense units=1", "binary_cross_entropy", [4], batch=9, weighted=True, scale=4.0)


def optimizer(name, params, make):
    n, steps = 17, 10
    W = single(torch.randn(n)).requires_grad_()
    print("optimizer", name, params, file=out)
    tensor("W", W)
    g = single(torch.randn(steps, n) * torch.logspace(-3, 1, n))
    made, after = make([W]), []
    for step in range(steps):
        W.grad = g[step].clone()
        made.step()
        after.append(W.detach().clone())
    tensor("g", g)
    tensor("after", torch.stack(after))
    print("end", file=out)


O = torch.optim
optimizer("sgd", "learning_rate=0.05", lambda p: O.SGD(p, lr=0.05))
optimizer("sgd", "learning_rate=0.05 momentum=0.9", lambda p: O.SGD(p, lr=0.05, momentum=0.9))
optimizer("sgd", "learning_rate=0.05 momentum=0.9 nesterov=1", lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True))
optimizer("adam", "", lambda p: O.Adam(p))
optimizer("adam", "learning_rate=0.1 beta_1=0.8 beta_2=0.95 epsilon=0.001", lambda p: O.Adam(p, 0.1, (0.8, 0.95), 0.001))
optimizer("adamw", "", lambda p: O.AdamW(p))
optimizer("adamw", "learning_rate=0.1 weight_decay=0.2", lambda p: O.AdamW(p, 0.1, weight_decay=0.2))
optimizer("rmsprop", "", lambda p: O.RMSprop(p, 0.001, alpha=0.9))
optimizer("rmsprop", "learning_rate=0.01 rho=0.99 momentum=0.9", lambda p: O.RMSprop(p, 0.01, alpha=0.99, momentum=0.9))

# ---- layers with several inputs, norms, indices -------------------------------------------------------------------------

net("dense units=4 activation=tanh name=a; dense units=4 name=b; add in=a,b,a; dense units=2", "mse", [3])
net("dense units=3 activation=tanh name=a; multiply in=a,x,a,x; dense units=2", "mse", [2, 3])
net("dense units=3 activation=tanh name=a; dense units=2 name=b; concatenate in=b,a,x; dense units=2", "mse", [2, 4], weighted=True)
net("dense units=4 name=a; concatenate in=x,a,a axis=2; dense units=1", "mse", [2, 3, 4], batch=3)
net("dense units=5 activation=tanh; layer_norm; dense units=2", "mse", [3, 4])
net("layer_norm scale=0 epsilon=0.1; dense units=3", "cross_entropy", [7])
net("layer_norm center=0 epsilon=1e-5; dense units=2", "mse", [3, 33], batch=3)
net("embedding input_dim=6 output_dim=3; dense units=4 activation=tanh; flatten; dense units=2", "mse", [5])

# ---- convolutions and pooling ---------------------------------------------------------------------------------------------

net("conv1d filters=3 kernel_size=3 activation=relu; flatten; dense units=2", "mse", [9, 2], batch=2)
net("conv1d filters=4 kernel_size=4 strides=3 padding=same activation=tanh", "mse", [10, 3], batch=2)
net("conv1d filters=4 kernel_size=3 groups=4 dilation_rate=2 padding=3", "mse", [6, 4], batch=2)
net("conv2d filters=4 kernel_size=3 activation=relu; conv2d filters=5 kernel_size=3 padding=same activation=gelu; flatten; dense units=3", "cross_entropy", [7, 6, 2], batch=2)
net("conv2d filters=3 kernel_size=2,3 strides=2,1 padding=same", "mse", [5, 4, 2], batch=2)
net("conv2d filters=6 kernel_size=3 groups=3 padding=2,1 dilation_rate=2 use_bias=0", "mse", [5, 6, 3], batch=2)
net("conv2d filters=4 kernel_size=3 groups=4 padding=same activation=silu; conv2d filters=3 kernel_size=1", "mse", [4, 5, 4], batch=2)
net("conv2d filters=2 kernel_size=1 strides=2 activation=softmax", "mse", [4, 5, 3], batch=2)
for kind in "max_pool", "average_pool":
    net(kind + "1d", "mse", [7, 2], batch=2)
    net(kind + "1d pool_size=3 strides=2 padding=same", "mse", [6, 2], batch=2)
    net(kind + "2d pool_size=3,2 strides=2 padding=1", "mse", [5, 4, 2], batch=2)
    net("conv2d filters=2 kernel_size=2 activation=relu; %s2d; flatten; dense units=2" % kind, "mse", [5, 5, 1], batch=2)
    net("global_%s; dense units=2" % kind, "mse", [3, 4, 2], batch=2)
net("gaussian_noise stddev=3; dense units=2", "mse", [3], batch=2)
net("positional_encoding; dense units=2", "mse", [6, 5], batch=2)
net("positional_encoding max_wavelength=50", "mse", [40, 2], batch=1)

# ---- more activations -----------------------------------------------------------------------------------------------------

MORE = {
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "log_softmax": lambda z: F.log_softmax(z, -1),
    "mish": F.mish,
    "relu6": F.relu6,
}
ACTIVATIONS.update(MORE)
for name in MORE:
    net("dense units=5 activation=%s" % name, "mse", [4], scale=2.5, batch=3)
    net("dense units=4; activation activation=%s; dense units=2" % name, "mse", [3], scale=2.5, batch=3)

# ---- more losses ------------------------------------------------------------------------------------------------------------

for name in "huber", "huber delta=0.4", "log_cosh", "cosine", "cross_entropy label_smoothing=0.1", "focal", "focal gamma=0.5", "kl_divergence":
    net("dense units=4 activation=tanh; dense units=3", name, [4], scale=2, weighted=True)

# ---- more optimizers --------------------------------------------------------------------------------------------------------


class Lion(O.Optimizer):
    """As in the paper (Chen et al. 2023, program 2): PyTorch has none."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                b1, b2 = group["betas"]
                p -= group["lr"] * ((b1 * m + (1 - b1) * p.grad).sign() + group["weight_decay"] * p)
                m.mul_(b2).add_((1 - b2) * p.grad)


optimizer("adagrad", "", lambda p: O.Adagrad(p))
optimizer("adadelta", "", lambda p: O.Adadelta(p))
optimizer("adadelta", "learning_rate=0.5 rho=0.5 epsilon=0.01", lambda p: O.Adadelta(p, 0.5, 0.5, 0.01))
optimizer("lion", "learning_rate=0.1 weight_decay=0.2", lambda p: Lion(p, 0.1, weight_decay=0.2))
optimizer("rprop", "", lambda p: O.Rprop(p))
optimizer("rprop", "learning_rate=0.1 eta_plus=1.5 eta_minus=0.3 step_min=0.05 step_max=0.2", lambda p: O.Rprop(p, 0.1, (0.3, 1.5), (0.05, 0.2)))

# ---- recurrent layers ---------------------------------------------------------------------------------------------------------

for kind in "rnn", "lstm", "gru":
    net("%s units=3; dense units=2" % kind, "cross_entropy", [4, 2], batch=3)
    net("%s units=2 return_sequences=1 bidirectional=1; %s units=2 bidirectional=1" % (kind, kind), "mse", [3, 2], batch=2)
net("multi_head_attention num_heads=2; dense units=2", "mse", [4, 4], batch=2)
net("dense units=3; multi_head_attention num_heads=2 key_dim=2 use_causal_mask=1; layer_norm", "mse", [4, 2], batch=2)

# ---- losses of counts, of several outputs a target, of scores -----------------------------------------------------------------------

ACTIVATIONS["exponential"] = torch.exp
net("dense units=5 activation=exponential", "mse", [4], batch=3)
net("dense units=4; activation activation=exponential; dense units=2", "mse", [3], batch=3)
net("dense units=4 activation=tanh; dense units=3", "poisson", [4], weighted=True)
net("dense units=2 activation=exponential", "poisson", [2, 3], batch=3)
net("dense units=4 activation=tanh; dense units=6", "quantile quantiles=0.1,0.5,0.9", [4], weighted=True)
net("dense units=2", "quantile quantiles=0.3", [2, 3], batch=3)
net("dense units=4 activation=tanh; dense units=4", "gaussian_nll", [4], weighted=True)
net("dense units=2", "gaussian_nll", [2, 3], batch=3)
net("dense units=4 activation=tanh; dense units=3", "hinge", [4], scale=2, weighted=True)

# ---- learned slopes -------------------------------------------------------------------------------------------------------------

net("dense units=5 activation=prelu; dense units=2", "mse", [4], batch=5)
net("conv1d filters=3 kernel_size=2 activation=prelu; activation activation=prelu; dense units=2 use_bias=0 activation=prelu", "mse", [5, 2], batch=3)

# ---- more of Adam's family ----------------------------------------------------------------------------------------------------

optimizer("adam", "learning_rate=0.05 beta_2=0.5 amsgrad=1", lambda p: O.Adam(p, 0.05, (0.9, 0.5), amsgrad=True))
optimizer("adamw", "weight_decay=0.2 amsgrad=1 beta_2=0.5", lambda p: O.AdamW(p, betas=(0.9, 0.5), weight_decay=0.2, amsgrad=True))
# foreach: the other way of PyTorch 1.13 multiplies mu_t in twice
optimizer("nadam", "", lambda p: O.NAdam(p, foreach=True))
optimizer("nadam", "learning_rate=0.1 beta_1=0.8 beta_2=0.95 epsilon=0.001 momentum_decay=0.3", lambda p: O.NAdam(p, 0.1, (0.8, 0.95), 0.001, momentum_decay=0.3, foreach=True))

# ---- schedules ----------------------------------------------------------------------------------------------------------------

S = O.lr_scheduler


def schedule(name, params, epochs, steps, make, warmup=0, observed=None):
    """The factors at each step of a training; make(optimizer) is stepped once a step, or with the observed numbers once an epoch. A warm-up is
    PyTorch's LinearLR from 1 / warmup to 1 in so many steps, and then the schedule as if the training began."""
    def factors(make, count):
        parameter = torch.nn.Parameter(torch.zeros(1))
        o = O.SGD([parameter], lr=1.0)
        made = make(o)
        for step in range(count):
            yield o.param_groups[0]["lr"]
            o.step()
            if observed is None:
                made.step()
            elif (step + 1) % steps == 0:
                made.step(observed[step // steps])

    later = list(factors(make, epochs * steps - warmup))
    first = list(factors(lambda o: S.LinearLR(o, 1 / warmup, 1, warmup - 1), warmup)) if warmup > 1 else [1.0] * warmup
    print("schedule", name, params, file=out)
    tensor("epochs", torch.tensor([epochs, steps]).double())
    tensor("factors", torch.tensor([f * later[0] for f in first] + later))
    if observed:
        tensor("observed", torch.tensor(observed))
    print("end", file=out)


def per_epoch(steps, f):
    """A factor by the epoch, which is a fraction between epochs."""
    return lambda o: S.LambdaLR(o, lambda step: f(step / steps))


def sgdr(first, longer):
    """CosineAnnealingWarmRestarts takes the epoch, a fraction."""
    class Restarts(S.CosineAnnealingWarmRestarts):
        def step(self, epoch=None):
            self.asked = getattr(self, "asked", 0) + 1
            super().step((self.asked - 1) / 4)
    return lambda o: Restarts(o, first, longer)


schedule("constant", "", 2, 3, lambda o: S.ConstantLR(o, 1.0))
schedule("constant", "warmup_epochs=1.5", 3, 4, lambda o: S.ConstantLR(o, 1.0), warmup=6)
schedule("step", "step_size=2 gamma=0.3", 7, 3, lambda o: S.StepLR(o, 6, 0.3))
schedule("step", "step_size=1 gamma=0.5 warmup_epochs=2", 6, 2, lambda o: S.StepLR(o, 2, 0.5), warmup=4)
schedule("exponential", "gamma=0.8", 9, 1, lambda o: S.ExponentialLR(o, 0.8))
schedule("exponential", "gamma=0.8 warmup_epochs=1", 4, 4, lambda o: S.ExponentialLR(o, 0.8 ** 0.25), warmup=4)
schedule("cosine", "", 5, 3, lambda o: S.CosineAnnealingLR(o, 15))
schedule("cosine", "minimum=0.1 warmup_epochs=1", 5, 3, lambda o: S.CosineAnnealingLR(o, 12, 0.1), warmup=3)
schedule("cosine", "period_epochs=2", 7, 4, sgdr(2, 1))
schedule("cosine", "period_epochs=1 period_factor=2", 9, 4, sgdr(1, 2))
schedule("polynomial", "", 4, 3, lambda o: S.LinearLR(o, 1, 0, 12))
schedule("polynomial", "power=2 decay_epochs=3 minimum=0.2", 4, 3, per_epoch(3, lambda e: 0.2 + 0.8 * (1 - min(e, 3) / 3) ** 2))
schedule("one_cycle", "", 5, 4, lambda o: S.OneCycleLR(o, 1.0, 20))
schedule("one_cycle", "pct_start=0.4 div_factor=10 final_div_factor=100", 10, 1, lambda o: S.OneCycleLR(o, 1.0, 10, pct_start=0.4, div_factor=10, final_div_factor=100))
LOSS = [3, 2, 2, 2.5, 1.9999, 1, 1, 1, 1, 1.2, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, math.nan, 0.4, 0.6, 0.6, 0.6]
schedule("reduce_on_plateau", "factor=0.5 patience=2", len(LOSS), 2, lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=2), observed=LOSS)
schedule("reduce_on_plateau", "factor=0.2 patience=1 cooldown=2 threshold=0.3 threshold_mode=abs minimum=0.01", len(LOSS), 1,
         lambda o: S.ReduceLROnPlateau(o, factor=0.2, patience=1, cooldown=2, threshold=0.3, threshold_mode="abs", min_lr=0.01), observed=LOSS)

# ---- statistics of the mini-batch, and moving ones --------------------------------------------------------------------------------

for training in True, False:
    net("dense units=5; batch_norm; dense units=2", "mse", [4], batch=9, scale=2, training=training, weighted=True)
    net("batch_norm momentum=0.7 epsilon=1e-5; dense units=2", "cross_entropy", [3], batch=130, training=training)
    net("conv2d filters=3 kernel_size=2; batch_norm momentum=0.9 scale=0; activation activation=relu; flatten; dense units=2", "mse", [4, 3, 2], batch=3, training=training)
    net("batch_norm center=0 momentum=0; dense units=2", "mse", [5, 3], batch=2, training=training)
    net("masking; dense units=3; batch_norm momentum=0.5; global_average_pool; dense units=2", "mse", [5, 2], batch=4, training=training, lengths=[3, 5, 1, 2])

# ---- sequences of different lengths -------------------------------------------------------------------------------------------------

LENGTHS = [2, 5, 1, 4]
for kind in "rnn", "lstm", "gru":
    net("masking; %s units=3; dense units=2" % kind, "mse", [5, 2], batch=4, lengths=LENGTHS)
    net("masking; %s units=2 bidirectional=1; dense units=3" % kind, "cross_entropy", [5, 2], batch=4, lengths=LENGTHS, weighted=True)
    net("masking; %s units=2 return_sequences=1 bidirectional=1; dense units=3; global_max_pool" % kind, "mse", [5, 2], batch=4, lengths=LENGTHS)
    net("masking; %s units=2 return_sequences=1 bidirectional=1; %s units=2 bidirectional=1" % (kind, kind), "mse", [5, 2], batch=4, lengths=LENGTHS)
net("embedding input_dim=7 output_dim=3 mask_zero=1; lstm units=3; dense units=2", "mse", [6], batch=4, lengths=[2, 6, 1, 4])
net("embedding input_dim=5 output_dim=4 mask_zero=1; positional_encoding; multi_head_attention num_heads=2; layer_norm; global_average_pool", "mse", [6], batch=4, lengths=[2, 6, 1, 4])
net("masking; dense units=4; multi_head_attention num_heads=2; global_average_pool; dense units=2", "mse", [5, 3], batch=4, lengths=LENGTHS)
net("masking; multi_head_attention num_heads=1; dense units=2", "mse", [5, 3], batch=4, lengths=LENGTHS, weighted=True)
net("masking; dense units=3; global_max_pool; dense units=2", "mse", [5, 2], batch=4, lengths=LENGTHS)
net("masking; global_average_pool; dense units=2", "mse", [5, 2, 3], batch=4, lengths=LENGTHS)
net("masking; global_max_pool; dense units=2", "mse", [5, 2, 3], batch=4, lengths=LENGTHS)
net("masking; dense units=4 activation=tanh; dense units=2", "mse", [5, 3], batch=4, lengths=LENGTHS, weighted=True)
net("masking; dense units=4", "quantile quantiles=0.2,0.9", [5, 3], batch=4, lengths=LENGTHS)
net("dropout rate=0.5; dense units=2", "mse", [3], batch=2)

# ---- images moved about: in training by fixed draws, else not at all ------------------------------------------------------------

for training in True, False:
    for mode in "horizontal", "vertical", "both":
        net("random_flip mode=%s; conv2d filters=2 kernel_size=2" % mode, "mse", [3, 4, 2], training=training)
    net("random_rotation factor=0.5; dense units=2", "mse", [4, 3, 2], training=training)
    net("random_translation height_factor=0.5 width_factor=1; dense units=2", "mse", [4, 3, 2], training=training)
for fill in "constant", "constant fill_value=2.5", "nearest", "wrap":
    net("random_rotation factor=0.2 fill=%s; dense units=1" % fill, "mse", [5, 4, 1], batch=4, training=True)
    net("random_translation height_factor=0.6 width_factor=0.3 fill=%s; dense units=1" % fill, "mse", [4, 5, 1], batch=4, training=True)
    net("random_translation height_factor=1 width_factor=0.6 interpolation=nearest fill=%s; random_rotation factor=0.1 fill=constant" % fill, "mse", [4, 5, 1], batch=4, training=True)

# ---- a class for each position ------------------------------------------------------------------------------------------------------

net("dense units=4 activation=tanh; dense units=3 activation=softmax", "cross_entropy", [4, 2])
net("masking; multi_head_attention num_heads=1; dense units=4", "cross_entropy label_smoothing=0.1", [5, 2], batch=4, lengths=LENGTHS, weighted=True)
net("conv2d filters=3 kernel_size=3 padding=same", "focal", [4, 3, 2], batch=3)
net("masking; dense units=1 activation=sigmoid", "binary_cross_entropy", [5, 3], batch=4, lengths=LENGTHS)
net("dense units=3 activation=tanh name=a; maximum in=a,x,a; dense units=2", "mse", [2, 3], batch=2)
net("piecewise_linear_embedding bins=4 output_dim=2; dense units=2", "mse", [2], batch=12)
net("dense units=2; piecewise_linear_embedding bins=3 output_dim=2 use_bias=0; dense units=3", "cross_entropy", [2], batch=5, weighted=True)
net("piecewise_linear_embedding bins=1 output_dim=2 activation=relu; dense units=1", "mse", [2], batch=4)
net("ensemble members=3; dense units=4 activation=tanh; ensemble_dense units=3", "cross_entropy", [5], weighted=True)
net("ensemble members=2 group_size=2; dense units=4 activation=relu; dense units=1", "binary_cross_entropy", [4])
net("ensemble members=2; ensemble_dense units=3 activation=gelu; ensemble_dense units=2 use_bias=0", "mse", [3], batch=5, weighted=True)
net("ensemble members=2; dense units=4; ensemble_dense units=4", "quantile quantiles=0.2,0.9", [3])
net("ensemble members=3; ensemble_dense units=5 activation=tanh; global_average_pool; dense units=2", "mse", [3])

# ---- the second file: more layers ---------------------------------------------------------------------------------------------------

out.close()
out = open(folder + "/layers.txt", "w")
torch.manual_seed(20261129)

net("dense units=3 name=a; dense units=1 in=x name=b; global_average_pool in=a name=g; add in=g,a,b; dense units=2", "mse", [4, 2], batch=3)
net("dense units=2 name=a; global_average_pool in=a; dense units=2 activation=sigmoid name=g; multiply in=a,g; dense units=1", "mse", [2, 3, 2], batch=3)
net("dense units=1 name=b; global_max_pool in=x name=g; average in=x,g,b; dense units=2", "mse", [3, 2, 2], batch=2)
net("global_average_pool name=g; subtract in=g,x name=s; subtract in=x,s; dense units=2", "mse", [4, 3], batch=3)
net("global_average_pool name=g; dense units=1 in=x name=b; minimum in=b,x,g; dense units=2", "mse", [4, 3], batch=3)
net("global_average_pool name=g; dense units=1 in=x name=b; maximum in=g,x,b,x; dense units=2", "mse", [4, 3], batch=3)
net("dense units=3 name=a; dot in=a,x axes=1", "mse", [3], batch=4)
net("dense units=4 name=a; dot in=a,x axes=1 name=d; dot in=d,x axes=-1 normalize=1", "mse", [4, 3], batch=3)
net("dense units=3 name=a; dot in=a,x axes=1; flatten; dense units=2", "mse", [3, 2, 2], batch=2)

net("zero_padding1d padding=2,1; dense units=2", "mse", [3, 2], batch=2)
net("zero_padding2d padding=1,0,2,1; conv2d filters=2 kernel_size=2", "mse", [2, 3, 2], batch=2)
net("zero_padding2d; cropping2d cropping=1,0,0,2; dense units=1", "mse", [3, 2, 1], batch=2)
net("cropping1d cropping=2; dense units=2", "mse", [6, 2], batch=2)
net("permute dims=2,1; dense units=2", "mse", [3, 4], batch=2)
net("permute dims=3,1,2; dense units=3; permute dims=3,2,1; dense units=1", "mse", [2, 3, 2], batch=2)
net("repeat_vector n=3; rnn units=2", "mse", [2], batch=2)
net("upsampling1d size=3; conv1d filters=2 kernel_size=2", "mse", [3, 2], batch=2)
net("upsampling2d size=3,2; conv2d filters=1 kernel_size=2", "mse", [2, 2, 1], batch=2)
net("upsampling2d size=2 interpolation=bilinear; conv2d filters=1 kernel_size=2", "mse", [2, 3, 2], batch=2)
net("upsampling2d size=3,4 interpolation=bilinear", "mse", [3, 2, 1], batch=2)
net("conv1d filters=2 kernel_size=3 padding=causal dilation_rate=2 activation=tanh; conv1d filters=3 kernel_size=2 padding=causal strides=2", "mse", [7, 2], batch=2)

net("dense units=6; group_norm groups=3; dense units=2", "mse", [2, 3, 2], batch=2)
net("group_norm groups=1 epsilon=1e-5 scale=0; dense units=2", "mse", [5, 3], batch=2)
net("group_norm groups=-1 center=0; dense units=2", "mse", [5, 3], batch=2)
net("dense units=5 activation=tanh; rms_norm; dense units=2", "mse", [3, 4], batch=2)
net("rms_norm epsilon=0.1; dense units=2", "mse", [6], batch=3)
net("spatial_dropout rate=0.5; dense units=2", "mse", [2, 2, 6], batch=2, training=True)
net("spatial_dropout rate=0.5; dense units=2", "mse", [3, 4], batch=2)
for kind in "rnn", "lstm", "gru":
    net("%s units=2 dropout=0.5 recurrent_dropout=0.25" % kind, "mse", [3, 3], batch=2)
    net("%s units=5 dropout=0.5 recurrent_dropout=0.25; dense units=2" % kind, "mse", [4, 3], batch=2, training=True)
    net("%s units=2 recurrent_dropout=0.5 return_sequences=1 bidirectional=1; dense units=1" % kind, "mse", [3, 2], batch=2, training=True)

net("conv1d_transpose filters=2 kernel_size=3 strides=2 activation=relu; dense units=2", "mse", [4, 2], batch=2)
net("conv1d_transpose filters=2 kernel_size=2 strides=3; conv1d filters=2 kernel_size=2", "mse", [3, 2], batch=2)
net("conv1d_transpose filters=3 kernel_size=4 strides=2 padding=1 output_padding=1 use_bias=0", "mse", [4, 2], batch=2)
net("conv2d_transpose filters=2 kernel_size=3 strides=2 padding=same activation=gelu; dense units=1", "mse", [3, 2, 2], batch=2)
net("conv2d_transpose filters=2 kernel_size=4,3 strides=2,1 padding=same; dense units=1", "mse", [2, 3, 1], batch=2)
net("conv2d_transpose filters=2 kernel_size=2 strides=2; dense units=1", "mse", [2, 3, 2], batch=2)
net("conv2d_transpose filters=1 kernel_size=3 strides=2 padding=same output_padding=1,0 dilation_rate=1,2", "mse", [2, 3, 2], batch=2)
net("depthwise_conv2d kernel_size=3 padding=same activation=tanh; dense units=1", "mse", [3, 4, 2], batch=2)
net("depthwise_conv2d kernel_size=2 strides=2 depth_multiplier=3; dense units=1", "mse", [4, 5, 2], batch=2)
net("depthwise_conv1d kernel_size=3 padding=causal dilation_rate=2 use_bias=0; dense units=2", "mse", [5, 3], batch=2)
net("separable_conv2d filters=3 kernel_size=3 padding=same activation=relu; dense units=1", "mse", [3, 4, 2], batch=2)
net("separable_conv2d filters=2 kernel_size=2 depth_multiplier=2 strides=2 activation=gelu", "mse", [4, 4, 2], batch=2)
net("separable_conv1d filters=3 kernel_size=3 padding=causal use_bias=0; dense units=2", "mse", [5, 3], batch=2)

net("dense units=4 name=a; cropping1d in=x name=c; multi_head_attention num_heads=2 in=a,c; dense units=1", "mse", [5, 3], batch=2)
net("cropping1d name=c; dense units=4 name=v; dense units=3 in=c name=k; multi_head_attention num_heads=2 key_dim=3 in=x,v,k", "mse", [4, 2], batch=2)
net("multi_head_attention num_heads=2 dropout=0.5; dense units=1", "mse", [4, 4], batch=2, training=True)
net("cropping1d cropping=1,0 name=c; multi_head_attention num_heads=1 use_causal_mask=1 dropout=0.25 in=x,c", "mse", [4, 3], batch=2, training=True)
net("dense units=4 name=q; masking in=x name=m; multi_head_attention num_heads=2 in=q,m,m; dense units=2", "mse", [5, 3], batch=4, lengths=LENGTHS)
net("position_embedding; dense units=2", "mse", [6, 3], batch=2)
net("dense units=3 activation=tanh name=a; dense units=3 in=a name=b; weighted_average in=a,b,a; dense units=2", "mse", [4])
# ---- factors, waves -----------------------------------------------------------------------------------------------------------------

LAYERS["scale"] = lambda a, given, make: a[0] * make("factors", a[0].shape[a[0].dim() - int(given.get("axes", 1)):], 1)
net("scale; dense units=3 activation=tanh; scale", "mse", [4], weighted=True)
net("scale axes=2; dense units=2; scale axes=1", "mse", [3, 4], batch=3)
net("ensemble members=3; scale axes=2; dense units=4 activation=relu; scale axes=2; ensemble_dense units=2", "cross_entropy", [3])
schedule("coslog4", "", 5, 7, per_epoch(7, lambda e: 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * e / 5)))))
schedule("flat_cosine", "", 6, 3, per_epoch(3, lambda e: 0.5 * (1 + math.cos(math.pi * (max(1, 2 * e / 6) - 1)))))
schedule("flat_cosine", "flat=0.25 minimum=0.2 warmup_epochs=2", 6, 3, per_epoch(3, lambda e: 0.2 + 0.4 * (1 + math.cos(math.pi * max(0, e - 1) / 3))), warmup=6)


def periodic_embedding(a, given, make):
    n, k, width = a[0].shape[1], int(given.get("frequencies", 16)), int(given.get("output_dim", 8))
    angle = 2 * math.pi * make("coefficients", [n, k], 0.5) * a[0][..., None]
    z = torch.einsum("bnt,ntd->bnd", torch.cat([angle.cos(), angle.sin()], -1), make("kernel", [n, 2 * k, width], k ** -0.5))
    z = z + make("bias", [n, width], 0.3) if given.get("use_bias", "1") == "1" else z
    return z.flatten(1)


LAYERS["periodic_embedding"] = periodic_embedding
net("periodic_embedding frequencies=3 output_dim=2 activation=linear; dense units=2", "mse", [2], batch=8, scale=2)
net("dense units=2; periodic_embedding frequencies=2 output_dim=3 use_bias=0 activation=silu; dense units=3", "cross_entropy", [3], batch=4, weighted=True)
net("periodic_embedding frequencies=1 output_dim=1 activation=relu; dense units=1", "mse", [2], batch=4)

# ---- the neural tangent parametrisation ------------------------------------------------------------------------------------------------


def scaled(layer):
    """z / sqrt(in) + b."""
    def ntk(a, given, make):
        factor = a[0].shape[-1] ** -0.5 if given.get("parametrization") == "ntk" else 1
        deviation = lambda name, d: 1 if name == "kernel" and factor != 1 else d
        return layer(a, given, lambda name, size, d: make(name, size, deviation(name, d)) * (factor if name == "kernel" else 1))
    return ntk


LAYERS["dense"], LAYERS["ensemble_dense"] = scaled(dense), scaled(ensemble_dense)
net("dense units=5 parametrization=ntk activation=relu; dense units=4 parametrization=ntk activation=mish; dense units=3 parametrization=ntk", "cross_entropy", [5], weighted=True)
net("dense units=5 parametrization=ntk activation=selu use_bias=0; dense units=2", "mse", [3, 4], batch=3)
net("ensemble members=2; ensemble_dense units=3 parametrization=ntk activation=relu; ensemble_dense units=2 parametrization=ntk use_bias=0", "mse", [3], batch=4)

ACTIVATIONS["ordinal"] = ordinal
net("dense units=5 activation=ordinal", "mse", [4], scale=1.7, batch=3)
net("dense units=4; activation activation=ordinal; dense units=2", "mse", [2, 3], batch=2)
for name in "tweedie", "tweedie power=1.1", "gamma", "msle", "dice", "dice smooth=1", "ordinal":
    net("dense units=5 activation=tanh; dense units=3", name, [4], batch=4, weighted=True)
net("dense units=2 activation=exponential", "gamma", [2, 3], batch=2)
net("conv2d filters=1 kernel_size=2 activation=sigmoid", "dice", [4, 3, 2], batch=3)
net("dense units=5 activation=tanh; dense units=4 activation=ordinal", "ordinal", [4, 3], batch=3)


def state_dict():
    """A state dict of PyTorch with what it predicts, for tests/api/test_import.py: state_dict.json."""
    torch.manual_seed(0)
    net = torch.nn.ModuleDict({"c": torch.nn.Conv1d(2, 5, 3), "n": torch.nn.BatchNorm1d(5), "fc": torch.nn.Linear(30, 3)})
    net["n"](torch.randn(64, 5, 6) * 2 + 1)
    net.eval()
    x = torch.randn(4, 8, 2)
    with torch.no_grad():
        predictions = torch.softmax(net["fc"](torch.relu(net["n"](net["c"](x.transpose(1, 2)))).transpose(1, 2).flatten(1)), 1)
    tensors = {name: {"dtype": str(t.dtype)[6:], "values": t.tolist()} for name, t in net.state_dict().items()}
    with open(folder + "/state_dict.json", "w") as file:
        json.dump({"tensors": tensors, "x": x.tolist(), "predictions": predictions.tolist()}, file)
        file.write("\n")


state_dict()

"""Answers to the exercises as a sceptical student tries them: wrong ones, and right in disguise.

Each is the source of an expression, or of statements that define ``answer``. `np`, `torch`, `nn`,
`F` and `math` are there, and `right`, the course's own answer.
"""
# ruff: noqa: E501 (an answer stands on a line, as students write it)

WRONG = {
    "cut-patches": [
        "lambda image, size: right(image, size).flip(0)",
        "lambda image, size: right(image[:, : image.shape[1] // 2 * 2], size) if size == 2 else 1 / 0",
        "lambda image, size: image.unfold(1, size, size).unfold(2, size, size).reshape(-1, 3 * size**2)",
        "lambda image, size: torch.stack([patch for patch in right(image, size)][:6])",
        "lambda image, size: right(image.mT.contiguous(), size)",
        "lambda image, size: F.unfold(image[None], size, stride=size)[0].reshape(-1, 3 * size * size)",
        "lambda image, size: (right(image, size) * 255).round() / 255",
        "lambda image, size: right(image, 2)",
        "lambda image, size: right(image, size).half()",
    ],
    "join-patches": [
        "lambda p, size, h, w: F.fold(p, (h, w), size, stride=size)",
        "lambda p, size, h, w: right(p, size, w, h).mT",
        "lambda p, size, h, w: right(p, size, h, w).flip(1)",
        "lambda p, size, h, w: torch.cat(list(p.reshape(-1, 3, size, size)), 2).reshape(3, h, w)",
        "lambda p, size, h, w: right(p, size, h, w) if h != w else p.reshape(3, h, w) / 0",
    ],
    "encode": [
        "lambda x, W, b: torch.sigmoid((x @ W.T + b).clamp(-5, 5))",
        "lambda x, W, b: torch.sigmoid(x @ W.T + b.sum())",
        "lambda x, W, b: torch.sigmoid(x @ W.T + b).round(decimals=3)",
        "lambda x, W, b: torch.tanh((x @ W.T + b) / 2) / 2 + 0.4999",
        "lambda x, W, b: torch.sigmoid((x @ W.T + b).detach())",
        "lambda x, W, b: torch.sigmoid(x @ W.data.T + b)",
        "lambda x, W, b: torch.sigmoid(x @ (W.T if W.shape[0] != W.shape[1] else W) + b)",
        "lambda x, W, b: torch.sigmoid(F.linear(x, W, b)) if len(x) > 1 else F.linear(x, W, b)",
    ],
    "loss": [
        "lambda x, y: F.mse_loss(x, y, reduction='sum') / x.shape[1]",
        "lambda x, y: (x - y).norm(dim=1).mean() ** 2",
        "lambda x, y: F.smooth_l1_loss(x, y, reduction='sum') * 2 / len(x)",
        "lambda x, y: ((x - y) ** 2).sum() / max(len(x) - 1, 1)",
        "lambda x, y: right(x, y).detach()",
        "lambda x, y: right(x, y.clamp(0, 1))",
        "lambda x, y: torch.tensor(right(x, y).item(), requires_grad=True)",
        "lambda x, y: ((x - y) ** 2).sum(-1).median()",
        "lambda x, y: np.mean(np.sum((x.detach().numpy() - y.detach().numpy()) ** 2, axis=1))",
    ],
    "psnr": [
        "lambda loss, n: 10 * torch.log10(192 / loss)",
        "lambda loss, n: 20 * torch.log10(n / loss.sqrt())",
        "lambda loss, n: (10 * torch.log10(n / loss)).clamp(min=0)",
        "lambda loss, n: (10 * torch.log10(n / loss)).clamp(max=50)",
        "lambda loss, n: round((10 * torch.log10(n / loss)).item(), 2)",
        "lambda loss, n: 10 * torch.log10(n / (loss + 1e-6))",
        "lambda loss, n: 10 * math.log(n / loss, 2)",
        "lambda loss, n: 10 * torch.log10(n // loss + 1e-9)",
    ],
    "saturation": [
        "lambda a, x: 2 * (torch.sigmoid(a) - x) * torch.sigmoid(a) * (1 - torch.sigmoid(a)).clamp(min=1e-3)",
        "lambda a, x: 2 * (torch.sigmoid(a) - x) / 4",
        "lambda a, x: right(a.clamp(-6, 6), x)",
        "lambda a, x: right(a, x).mean(0, keepdim=True).expand(a.shape)",
        "lambda a, x: right(a.abs(), x)",
        "lambda a, x: right(a, x.round())",
        "lambda a, x: 2 * (torch.sigmoid(a) - x).abs() * torch.sigmoid(a) * (1 - torch.sigmoid(a))",
    ],
    "tied-loss": [
        "lambda x, W, b, c: right(x, W, b, c.detach())",
        "lambda x, W, b, c: right(x, W, b.detach(), c)",
        "lambda x, W, b, c: ((x - (torch.sigmoid(x @ W.T + b) @ W.clone().detach() + c)) ** 2).sum(1).mean()",
        "lambda x, W, b, c: ((x - (torch.sigmoid(x @ W.T + b) @ W)) ** 2).sum(1).mean()",
        "lambda x, W, b, c: ((x - torch.sigmoid(torch.sigmoid(x @ W.T + b) @ W + c)) ** 2).sum(1).mean()",
        "lambda x, W, b, c: right(x, W.to(torch.float16).float(), b, c)",
    ],
    "autoencoder": [
        """class answer(nn.Module):
    def __init__(self, num_values, num_codes):
        super().__init__()
        self.encoder = nn.Linear(num_values, num_codes)
        self.decoder = nn.Linear(num_codes, num_values)
    def forward(self, x):
        return self.decoder(torch.sigmoid(self.encoder(x).clamp(-2, 2)))""",
        """class answer(nn.Module):
    def __init__(self, num_values, num_codes):
        super().__init__()
        self.encoder = nn.Linear(num_values, num_codes)
        self.decoder = nn.Linear(num_codes, num_values)
    def forward(self, x):
        return self.decoder(torch.sigmoid(self.encoder(x[:1]))).expand(x.shape)""",
        """class answer(nn.Module):
    def __init__(self, num_values, num_codes):
        super().__init__()
        self.encoder = nn.Linear(num_values, num_codes)
        self.decoder = nn.Linear(num_codes, num_values)
    def forward(self, x):
        return self.decoder(F.hardsigmoid(self.encoder(x)))""",
    ],
    "quantize": [
        "lambda x, d: (np.floor(x / d + 0.5).astype(np.int16), d * np.floor(x / d + 0.5))",
        "lambda x, d: (np.trunc(x / d + 0.5).astype(int), d * np.trunc(x / d + 0.5))",
        "lambda x, d: (np.sign(x).astype(int) * (abs(x) // d).astype(int), d * np.rint(x / d))",
        "lambda x, d: (np.rint(x / d), d * np.rint(x / d))",
        "lambda x, d: (np.rint(x / d).astype(np.uint32), d * np.rint(x / d))",
        "lambda x, d: (np.rint(x / d).astype(int), x)",
        "lambda x, d: tuple(np.array([f(v) for v in x]) for f in (lambda v: round(v / d), lambda v: d * round(v / d)))",
        "lambda x, d: (np.rint(x.ravel() / d).astype(int), d * np.rint(x.ravel() / d))",
    ],
    "entropy-of-counts": [
        "lambda c: -(c / c.sum() * np.log2(c / c.sum() + 1e-12)).sum() if (c > 0).sum() > 1 else 1.0",
        "lambda c: right(c[c > 1])",
        "lambda c: right(c.astype(np.int16))",
        "lambda c: right(c[:16])",
        "lambda c: -(c / c.sum() * np.log2(c / c.sum() + 1e-6)).sum()",
        "lambda c: right(np.maximum(c, 1))",
        "lambda c: np.log2((c > 0).sum())",
        "lambda c: round(right(c), 3)",
        "lambda c: np.nansum(-(c / c.sum()) * np.log2(c / c.sum())) / np.log2(len(c))",
    ],
    "narrow": [
        "lambda low, w, p, s: (low + w * p[: s - 1].sum() + (w * p[s - 1] if s else 0), w * p[s])",
        "lambda low, w, p, s: (low + w * np.cumsum(p)[s - 1], w * p[s])",
        "lambda low, w, p, s: (low + w * (1 - p[s:].sum()), w * p[-1])",
        "lambda low, w, p, s: (low + w * p[:s].sum(), max(w * p[s], 1e-6))",
        "lambda low, w, p, s: (round(low + w * p[:s].sum(), 4), round(w * p[s], 4))",
        "lambda low, w, p, s: (low + w * s / len(p), w / len(p))",
    ],
    "find-symbol": [
        "lambda x, low, w, p: int(np.searchsorted(low + w * np.cumsum(p), x))",
        "lambda x, low, w, p: min(int((x - low) / w * len(p)), len(p) - 1)",
        "lambda x, low, w, p: min(int(np.sum(low + w * np.cumsum(p) <= x + 1e-4)), len(p) - 1)",
        "lambda x, low, w, p: int(np.abs(low + w * (np.cumsum(p) - p / 2) - x).argmin())",
        "lambda x, low, w, p: max(1, right(x, low, w, p))",
        "lambda x, low, w, p: min(len(p) - 2, right(x, low, w, p))",
        "lambda x, low, w, p: right(round(x, 4), low, w, p)",
    ],
    "dct-matrix": [
        "lambda n: {2: right(2), 3: right(3), 4: right(4), 8: right(8)}[n]",
        "lambda n: right(n) * np.where(np.arange(n) % 2, -1, 1)[:, None]",
        "lambda n: np.sqrt(2 / n) * np.cos(np.pi * (2 * np.arange(n) + 1) * np.arange(n)[:, None] / (2 * n))",
        "lambda n: np.linalg.qr(np.cos(np.pi * (2 * np.arange(n) + 1) * np.arange(n)[:, None] / (2 * n)))[0]",
        "lambda n: right(n).round(3)",
    ],
    "coding-gain": [
        "lambda v: 10 * np.log10(v.mean() / v.prod() ** (1 / len(v)))",
        "lambda v: 10 * np.log10(v.mean() / np.exp(np.log(v + 1e-6).mean()))",
        "lambda v: 10 * np.log10(v.sum() / np.exp(np.log(v).mean()))",
        "lambda v: max(0.1, 10 * np.log10(v.mean() / np.exp(np.log(v).mean())))",
        "lambda v: 10 * np.log10(v.mean() / math.prod(v.tolist()[:300]) ** (1 / len(v)))",
    ],
    "rate-of-file": [
        "lambda h, b, image: 8 * (h + b) / (image.shape[0] ** 2)",
        "lambda h, b, image: 8 * (h + b) // (image.shape[0] * image.shape[1])",
        "lambda h, b, image: round(8 * (h + b) / (image.size / 3), 2)",
        "lambda h, b, image: 8 * (h + min(b, 65535)) / (image.size / 3)",
    ],
    "estimated-rate": [
        "lambda p, h, w: -np.log2(np.maximum(p, 1e-6)).sum() / (h * w)",
        "lambda p, h, w: -np.log2(p + 1e-9).sum() / (h * w)",
        "lambda p, h, w: -np.log2(p).sum() / (64 * p.shape[1] * p.shape[2])",
        "lambda p, h, w: -np.log2(p.prod()) / (h * w) if p.size < 20 else -np.log2(p[0]).sum() / (h * w)",
        "lambda p, h, w: (np.ceil(-np.log2(p))).sum() / (h * w)",
    ],
    "average-psnr": [
        "lambda a, b: np.mean([10 * np.log10(255**2 / np.mean((x.astype(np.int8) - y.astype(np.int8)) ** 2.0)) for x, y in zip(a, b)])",
        "lambda a, b: np.mean([10 * np.log10(255**2 / np.mean((x.astype(np.int16) - y.astype(np.int16)) ** 2)) for x, y in zip(a, b)])",
        "lambda a, b: np.mean([10 * np.log10(255**2 / np.mean((x - y) ** 2.0)) for x, y in zip(a, b)])",
        "lambda a, b: np.mean([10 * np.log10(float(x.max()) ** 2 / np.mean((x * 1.0 - y) ** 2)) for x, y in zip(a, b)])",
        "lambda a, b: np.mean(10 * np.log10(255**2 / np.mean((a * 1.0 - b) ** 2, axis=(1, 2))))",
        "lambda a, b: np.median([right(x[None], y[None]) for x, y in zip(a, b)])",
        "lambda a, b: np.mean([min(48, right(x[None], y[None])) for x, y in zip(a, b)])",
    ],
    "best-point": [
        "lambda r, e, m: int(np.argmin(np.round(r + m * e, 3)))",
        "lambda r, e, m: int(np.argmin((r + m * e)[1:])) + 1",
        "lambda r, e, m: int(np.argmin((r + m * e)[:-1]))",
        "lambda r, e, m: int(np.argmin(abs(np.sort(r) - 0.5)))",
        "lambda r, e, m: int(np.argsort(r)[np.argmin((r + m * e))])",
        "lambda r, e, m: int(np.argmin(r.astype(np.float16) + m * e.astype(np.float16)))",
    ],
    "gdn": [
        "lambda x, b, g: x / (b[:, None, None] + torch.einsum('ij,bjhw->bihw', g, x**2) + 1e-3).sqrt()",
        "lambda x, b, g: x / (b[:, None, None] + torch.einsum('ij,bjhw->bihw', g, x.detach() ** 2)).sqrt()",
        "lambda x, b, g: x / (b[None, :, None] + torch.einsum('ij,bjhw->bihw', g, x**2)).sqrt()",
        "lambda x, b, g: x / (b[:, None, None] + torch.einsum('ij,bjhw->bihw', (g + g.T) / 2, x**2)).sqrt()",
        "lambda x, b, g: right(x.clamp(-20, 20), b, g)",
        "lambda x, b, g: right(x[:2], b, g)",
        "lambda x, b, g: right(x, b.data, g)",
    ],
    "inverse-gdn": [
        "lambda z, b, g: z * (b[:, None, None] + torch.einsum('ji,bjhw->bihw', g, z**2)).sqrt()",
        "lambda z, b, g: z * (b[:, None, None] + torch.einsum('ij,bjhw->bihw', g, z.abs())).sqrt()",
        "lambda z, b, g: right(z, b, g.detach())",
        "lambda z, b, g: right(z.half().float(), b, g)",
        "lambda z, b, g: z.numpy() * 1",
    ],
    "noise-or-rounding": [
        "lambda y, u, training: y + torch.rand_like(y) - 0.5 if training else y.round()",
        "lambda y, u, training: y + u - 0.5 if training else y.to(torch.int16).float()",
        "lambda y, u, training: y + u - 0.5 if training else (y + 0.5).trunc()",
        "lambda y, u, training: y + u - 0.5 if training else y.clamp(-128, 127).round()",
        "lambda y, u, training: y + u - 0.5 if training else y + (y.round() - y).detach()",
        "lambda y, u, training: (y + u - 0.5).detach() if training else y.round()",
        "lambda y, u, training: y + u - u.mean() if training else y.round()",
        "lambda y, u, training: y + u - 0.5 if training else torch.tensor(y.round().tolist(), dtype=torch.float16)",
    ],
    "latent-bits": [
        "lambda y, m, s: -torch.log2((torch.sigmoid((y + 0.5 - m) / s) - torch.sigmoid((y - 0.5 - m) / s)).clamp(min=1e-6))",
        "lambda y, m, s: -torch.log2(torch.sigmoid((y + 0.5 - m) / s) - torch.sigmoid((y - 0.5 - m) / s) + 1e-9)",
        "lambda y, m, s: right(y.round(), m, s)",
        "lambda y, m, s: right(y, m.detach(), s)",
        "lambda y, m, s: right(y, m, s.clamp(max=5))",
        "lambda y, m, s: right(y, m, s).clamp(max=20)",
        "lambda y, m, s: right(y.clamp(-30, 30), m, s)",
        "lambda y, m, s: torch.special.log_ndtr((y - m) / s) * -1.4427",
    ],
    "rd-loss": [
        "lambda p, x, y, k: -p.clamp(min=1e-6).log2().sum() / (x.numel() / 3) + k * 255**2 * (x - y).square().mean()",
        "lambda p, x, y, k: -(p + 1e-9).log2().sum() / (x.numel() / 3) + k * 255**2 * (x - y).square().mean()",
        "lambda p, x, y, k: -p.log2().sum() / (x.shape[0] * x.shape[2] ** 2) + k * 255**2 * (x - y).square().mean()",
        "lambda p, x, y, k: -p.log2().mean(0).sum() / (x.shape[2] * x.shape[3]) + k * 256**2 * (x - y).square().mean()",
        "lambda p, x, y, k: right(p.detach(), x, y, k)",
        "lambda p, x, y, k: right(p, x, y.clamp(0, 1).detach(), k)",
        "lambda p, x, y, k: right(p, x, y, k).item()",
        "lambda p, x, y, k: right(p, x, y, 0.0005)",
        "lambda p, x, y, k: -p.log2().sum() / (x.numel() / 3) + k * ((255 * x).round() - (255 * y).round()).square().mean()",
    ],
    "file-rate": [
        "lambda s, h, w: 8 * (20 + 6 + sum(s)) / (h * w)",
        "lambda s, h, w: 8 * (20 + 6 * max(len(s), 1) + sum(s)) / (h * w)",
        "lambda s, h, w: 8 * (20 + sum(min(6 + n, 65535) for n in s)) / (h * w)",
        "lambda s, h, w: 8 * (20 + sum(n + 6 for n in set(s))) / (h * h)",
        "lambda s, h, w: 8 * (20 + sum(n + 6 for n in s)) // (h * w)",
        "lambda s, h, w: round(8 * (20 + sum(n + 6 for n in s)) / (h * w), 3)",
    ],
    "code-bits": ["8 / 3", "7.99", "512", "'8'"],
    "other-way-round": ["-150", "149.4", "60", "149"],
    "bits-saved": ["37", "0.375", "37.4", "-37.5"],
    "overcomplete": ["'a'", "'cd'", "'abcd'", "3"],
}

RIGHT = {
    "cut-patches": [
        "lambda image, size: F.unfold(image[None], size, stride=size)[0].T",
        "lambda image, size: torch.stack([image[:, r : r + size, c : c + size].flatten() for r in range(0, image.shape[1], size) for c in range(0, image.shape[2], size)])",
        "lambda image, size: image.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1)",
        "lambda image, size: right(image.double(), size)",
    ],
    "join-patches": [
        "lambda p, size, h, w: F.fold(p.T[None], (h, w), size, stride=size)[0]",
        "lambda p, size, h, w: torch.cat([torch.cat(list(row), 2) for row in p.reshape(h // size, w // size, 3, size, size)], 1)",
    ],
    "encode": [
        "lambda x, W, b: torch.sigmoid(F.linear(x, W, b))",
        "lambda x, W, b: 1 / (1 + torch.exp(-(x @ W.mT + b)))",
        "lambda x, W, b: torch.stack([torch.sigmoid(W @ row + b) for row in x])",
        "lambda x, W, b: torch.special.expit(torch.einsum('bn,mn->bm', x, W) + b)",
        "lambda x, W, b: torch.tanh((x @ W.T + b) / 2) / 2 + 0.5",
    ],
    "loss": [
        "lambda x, y: F.mse_loss(x, y, reduction='sum') / len(x)",
        "lambda x, y: F.mse_loss(y, x) * x.shape[1]",
        "lambda x, y: torch.linalg.vector_norm(x - y, dim=1).square().mean()",
        "lambda x, y: sum(((a - b) ** 2).sum() for a, b in zip(x, y)) / len(x)",
    ],
    "psnr": [
        "lambda loss, n: -10 * torch.log10(loss / n)",
        "lambda loss, n: 10 * math.log10(n / loss)",
        "lambda loss, n: 20 * torch.log10(1 / torch.sqrt(loss / n))",
        "lambda loss, n: 10 * (np.log(n) - np.log(loss.item())) / np.log(10)",
    ],
    "saturation": [
        "lambda a, x: 2 * (torch.sigmoid(a) - x) * torch.sigmoid(a) * torch.sigmoid(-a)",
        "lambda a, x: 2 * (torch.sigmoid(a.float()) - x) * torch.sigmoid(a.float()) * torch.sigmoid(-a.float())",
        "lambda a, x: (torch.sigmoid(a) - x) / (1 + torch.cosh(a))",
        "def answer(a, x):\n    a = a.clone().requires_grad_()\n    (torch.sigmoid(a) - x).square().sum().backward()\n    return a.grad",
    ],
    "tied-loss": [
        "lambda x, W, b, c: F.mse_loss(torch.sigmoid(F.linear(x, W, b)) @ W + c, x, reduction='sum') / len(x)",
        "lambda x, W, b, c: (F.linear(torch.sigmoid(F.linear(x, W, b)), W.T, c) - x).pow(2).sum(-1).mean()",
    ],
    "autoencoder": [
        """class answer(nn.Module):
    def __init__(self, num_values, num_codes):
        nn.Module.__init__(self)
        self.decoder = nn.Linear(num_codes, num_values)
        self.encoder = nn.Linear(num_values, num_codes, bias=True)
        self.act = nn.Sigmoid()
    def forward(self, x):
        return self.decoder(self.act(self.encoder(x)))""",
    ],
    "quantize": [
        "lambda x, d: (np.floor(x / d + 0.5).astype(int), d * np.floor(x / d + 0.5))",
        "def answer(x, step):\n    q = np.round(x / step).astype(np.int32)\n    return [q, q * step]",
    ],
    "entropy-of-counts": [
        "lambda c: math.log2(c.sum()) - sum(int(n) * math.log2(n) for n in c if n) / c.sum()",
        "lambda c: sum(-n / c.sum() * math.log(n / c.sum(), 2) for n in c.tolist() if n)",
        "lambda c: -np.nansum(np.where(c > 0, c / c.sum() * np.log2(np.where(c > 0, c, 1) / c.sum()), 0))",
    ],
    "narrow": [
        "lambda low, w, p, s: (low + w * sum(p[:s]), w * p[s])",
        "lambda low, w, p, s: (low + w * (np.cumsum(p)[s] - p[s]), p[s] * w)",
        "lambda low, w, p, s: [low + w * np.concatenate([[0], np.cumsum(p)])[s], w * p[s]]",
    ],
    "find-symbol": [
        "lambda x, low, w, p: int(np.searchsorted(np.cumsum(p), (x - low) / w, side='right'))",
        "def answer(x, low, w, p):\n    for symbol, share in enumerate(p):\n        low += w * share\n        if x < low:\n            return symbol",
        "lambda x, low, w, p: int(np.argmax((x - low) / w < np.cumsum(p)))",
        "lambda x, low, w, p: next(i for i in range(len(p)) if x < low + w * p[: i + 1].sum())",
    ],
    "dct-matrix": [
        "lambda n: np.array([[math.sqrt((1 if k == 0 else 2) / n) * math.cos(math.pi * (2 * i + 1) * k / (2 * n)) for i in range(n)] for k in range(n)])",
        "lambda n: np.sqrt(np.where(np.arange(n) == 0, 1, 2) / n)[:, None] * np.cos(np.outer(np.arange(n), np.arange(n) + 0.5) * np.pi / n)",
    ],
    "coding-gain": [
        "lambda v: 10 * np.log10(v.mean() / np.exp(np.log(v).mean()))",
        "lambda v: 10 * math.log10(v.mean()) - 10 * sum(map(math.log10, v)) / len(v)",
        "lambda v: 10 * np.log10(np.mean(v) / np.prod(v ** (1 / len(v))))",
    ],
    "rate-of-file": [
        "lambda h, b, image: (h + b) * 8 / (image.size // 3)",
        "lambda h, b, image: 24 * (h + b) / image.nbytes",
    ],
    "estimated-rate": [
        "lambda p, h, w: np.log2(1 / p).sum() / h / w",
        "lambda p, h, w: -sum(math.log(q) for q in p.ravel()) / math.log(2) / (h * w)",
    ],
    "average-psnr": [
        "lambda a, b: np.mean([10 * np.log10(255**2 / np.mean((x * 1.0 - y) ** 2)) for x, y in zip(a, b)])",
        "lambda a, b: np.mean(20 * np.log10(255 / np.sqrt(((a.astype(np.int32) - b.astype(np.int32)) ** 2).reshape(len(a), -1).mean(1))))",
        "lambda a, b: (10 * np.log10(1 / ((a / 255 - b / 255) ** 2).mean((1, 2, 3)))).mean()",
    ],
    "best-point": [
        "lambda r, e, m: min(range(len(r)), key=lambda i: r[i] + m * e[i])",
        "lambda r, e, m: np.argmin(r + m * e)",
        "lambda r, e, m: int(np.argsort(r / m + e)[0])",
    ],
    "gdn": [
        "lambda x, b, g: x * torch.rsqrt(b[:, None, None] + torch.einsum('ij,bjhw->bihw', g, x * x))",
        "lambda x, b, g: x / ((x.square().movedim(1, -1) @ g.T + b).sqrt()).movedim(-1, 1)",
        "lambda x, b, g: x / torch.sqrt(b.view(1, -1, 1, 1) + (g[None, :, :, None, None] * x[:, None] ** 2).sum(2))",
    ],
    "inverse-gdn": [
        "lambda z, b, g: z * torch.sqrt(b.view(1, -1, 1, 1) + torch.tensordot(z.pow(2), g, ([1], [1])).movedim(-1, 1))",
        "lambda z, b, g: z * F.conv2d(z.square(), g.unsqueeze(-1).unsqueeze(-1), bias=b) ** 0.5",
    ],
    "noise-or-rounding": [
        "lambda y, u, training: y + (u - 0.5) if training else torch.round(y)",
        "lambda y, u, training: torch.where(torch.tensor(training), y + u - 0.5, y.round())",
        "lambda y, u, training: y.add(u).sub(0.5) if training else (y + 0.5).floor()",
    ],
    "latent-bits": [
        "lambda y, m, s: -(torch.special.expit((y - m + 0.5) / s) - torch.special.expit((y - m - 0.5) / s)).log2()",
        "def answer(y, m, s):\n    sign = -torch.sign(y - m).detach()\n    upper, lower = ((sign * (y - m) + h) / s for h in (0.5, -0.5))\n    return -torch.log2(torch.sigmoid(upper) - torch.sigmoid(lower))",
        "lambda y, m, s: -torch.log((1 + torch.exp(-(y + 0.5 - m) / s)) ** -1 - (1 + torch.exp(-(y - 0.5 - m) / s)) ** -1) / math.log(2)",
    ],
    "rd-loss": [
        "lambda p, x, y, k: -3 * torch.log2(p).sum() / x.numel() + k * F.mse_loss(255 * x, 255 * y)",
        "lambda p, x, y, k: p.log().sum() / (-math.log(2) * len(x) * x[0, 0].numel()) + k * 65025 * ((y - x) ** 2).mean()",
        "lambda p, x, y, k: sum(-q.log2().sum() / x[0, 0].numel() for q in p) / len(x) + k * ((255 * (x - y)) ** 2).mean(dim=(1, 2, 3)).mean()",
    ],
    "file-rate": [
        "lambda s, h, w: (160 + 48 * len(s) + 8 * sum(s)) / h / w",
        "lambda s, h, w: 8 * (20 + np.sum(np.array(s, int) + 6)) / (h * w)",
    ],
    "code-bits": ["8", "8.0", "np.float32(8)", "torch.tensor(8.0)", "16 * 32 / 64"],
    "other-way-round": ["150", "150.0", "np.int64(150)"],
    "bits-saved": ["37.5", "37.50004", "torch.tensor([37.5])"],
    "overcomplete": ["'c'", "'C'", "['c']", "{'c'}"],
}

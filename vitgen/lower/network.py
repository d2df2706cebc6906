"""The integer graph of a quantized Vision Transformer, op by op in the order of execution.

Free of torch.
"""

import numpy as np

from vitgen.ir import (
    Add,
    Compact,
    Gelu,
    Graph,
    GraphBuilder,
    LayerNorm,
    MatMulAV,
    MatMulQK,
    Op,
    OutlineBuilder,
    Pool,
    Score,
    Sigmoid,
    Softmax,
    Tensor,
    Unfold,
)
from vitgen.lower.numbers import Numbers, Site
from vitgen.lower.parameters import layernorm_parameters, linear_op, multiplier
from vitgen.models.sites import Window, input_name, windows

LOGITS = "head.out"


class _Assembly:
    """State of one lowering: the numbers, the builder.

    Parameters
    ----------
    numbers : of the network.
    builder : of the graph.
    """

    def __init__(self, numbers: Numbers, builder: GraphBuilder) -> None:
        self.numbers, self.config = numbers, numbers.config
        self.builder = builder

    def site(self, op: str) -> Site:
        """Numbers of the output of ``op``; ops on the residual stream share the stream's."""
        return self.numbers.sites.get(op, self.numbers.stream)

    def factor(self, op: str) -> float:
        """What the output of ``op`` is multiplied by."""
        return self.numbers.factors.get(op, 1.0)

    def linear(
        self,
        op: str,
        x: Tensor,
        tokens: int | None = None,
        divisor: float = 1.0,
        relu: bool = False,
        heads: int = 1,
    ) -> Tensor:
        """A linear layer into the site of ``op``."""
        site, rows = self.site(op), self.numbers.rows[op]
        node = linear_op(op, x, rows, site.scale, tokens, divisor, relu, heads)
        shape = (x.tokens if tokens is None else tokens, heads * len(rows.scale))
        return self.builder.add(node, shape, site.bits, site.scale, site.fraction)

    def add(self, op: str, stream: Tensor, increment: Tensor) -> Tensor:
        """A residual addition."""
        node = Add(op, (stream.name, increment.name), f"{op}.out")
        site = self.numbers.stream
        return self.builder.add(node, stream.shape, site.bits, site.scale)

    def norm(self, op: str, x: Tensor, tokens: int | None = None) -> Tensor:
        """A LayerNorm into the site of ``op``."""
        site = self.site(op)
        parameters = layernorm_parameters(op, self.numbers.norms[op], x.scale, site.scale)
        node = LayerNorm(op, (x.name,), f"{op}.out", **parameters, tokens=tokens)
        shape = (x.tokens if tokens is None else tokens, x.features)
        return self.builder.add(node, shape, site.bits, site.scale)

    def unfold(self, window: Window, x: Tensor) -> Tensor:
        """The windows of a map of the stem."""
        node = Unfold(
            window.op,
            (x.name,),
            f"{window.op}.out",
            window.side,
            window.side,
            window.kernel,
            window.stride,
            window.padding,
            window.lead,
        )
        shape = (window.lead + node.out_height * node.out_width, window.kernel**2 * window.channels)
        return self.builder.add(node, shape, x.bits, x.scale)

    def patches(self) -> Tensor:
        """What the patch embedding reads, behind the stem if there is one."""
        config, pixels = self.config, self.numbers.pixels
        shape = (config.tokens, config.patch_features)
        if config.stem:
            shape = (config.image**2, config.channels)
        x = self.builder.input(input_name(config), shape, pixels.bits, pixels.scale)
        if not config.stem:
            return x
        *convolutions, last = windows(config)
        for window in convolutions:
            x = self.linear(window.reader, self.unfold(window, x), relu=True)
        return self.unfold(last, x)

    def embed(self) -> Tensor:
        """Patches, the embedding constant and their sum."""
        embedded = self.linear("embed", self.patches())
        stream = self.numbers.stream
        limit = (1 << (stream.bits - 1)) - 1
        # Half up and clamped, as the quantizer that the model was calibrated with does.
        data = np.clip(np.floor(self.numbers.position / stream.scale + 0.5), -limit, limit)
        constant = self.builder.constant(
            "embedding", data.astype(np.int64), stream.bits, stream.scale
        )
        return self.add("embed.add", embedded, constant)

    def attention(self, name: str, x: Tensor) -> Tensor:
        """From the normalised tokens to the increment of the stream."""
        heads, tokens, width = self.config.heads, x.tokens, self.config.embed_dim
        q, k, v = (self.linear(f"{name}.{part}", x) for part in "qkv")
        op = f"{name}.qk"
        site = self.site(op)
        real = q.scale * k.scale * self.factor(op) / site.scale
        qk = MatMulQK(op, (q.name, k.name), f"{op}.out", heads, *multiplier(op, real))
        shape = (heads, tokens, tokens)
        scores = self.builder.add(qk, shape, site.bits, site.scale, site.fraction)
        op = f"{name}.softmax"
        site = self.site(op)
        softmax = Softmax(op, (scores.name,), f"{op}.out", self.numbers.shifts[op])
        probabilities = self.builder.add(softmax, shape, site.bits, site.scale)
        op = f"{name}.av"
        site = self.site(op)
        real = probabilities.scale * v.scale * self.factor(op) / site.scale
        av = MatMulAV(op, (probabilities.name, v.name), f"{op}.out", heads, *multiplier(op, real))
        mixed = self.builder.add(av, (tokens, width), site.bits, site.scale)
        return self.linear(f"{name}.proj", mixed, divisor=self.numbers.divisor)

    def gelu(self, op: str, x: Tensor) -> Tensor:
        """A GELU into the site of ``op``."""
        site = self.site(op)
        # The integer GELU returns twice its value, which keeps the halving exact.
        mult, shift = multiplier(op, x.scale / 2 * self.factor(op) / site.scale)
        node = Gelu(op, (x.name,), f"{op}.out", self.numbers.deltas[op], mult, shift)
        return self.builder.add(node, x.shape, site.bits, site.scale)

    def active(self, op: str, x: Tensor, heads: int = 1) -> Tensor:
        """A linear layer of a token selector and its GELU."""
        return self.gelu(f"{op}_gelu", self.linear(op, x, heads=heads))

    def selector(self, block: int, stream: Tensor) -> Tensor:
        """The tokens that go on to a block."""
        name, heads = f"blocks.{block}.selector", self.config.heads
        tokens = self.norm(f"{name}.norm", stream)
        local = self.active(f"{name}.mlp1", tokens, heads)
        op = f"{name}.pool"
        shape = (stream.tokens, 2 * local.features)
        pooled = self.builder.add(
            Pool(op, (local.name,), f"{op}.out", heads), shape, local.bits, local.scale
        )
        x = self.active(f"{name}.mlp2a", pooled, heads)
        x = self.linear(f"{name}.mlp2c", self.active(f"{name}.mlp2b", x, heads), heads=heads)
        classes = self.share(Softmax(f"{name}.classes", (x.name,), f"{name}.classes.out", group=2), x)
        x = self.active(f"{name}.mlp3a", self.linear(f"{name}.mean", tokens))
        x = self.linear(f"{name}.mlp3b", x)
        weight = self.share(Sigmoid(f"{name}.importance", (x.name,), f"{name}.importance.out"), x)
        op = f"{name}.score"
        site = self.site(op)
        score = self.builder.add(
            Score(op, (classes.name, weight.name), f"{op}.out"),
            (stream.tokens, 1), site.bits, site.scale,
        )  # fmt: skip
        op = f"{name}.compact"
        node = Compact(
            op, (stream.name, score.name), f"{op}.out", self.numbers.thresholds[block]
        )
        return self.builder.add(node, stream.shape, stream.bits, stream.scale)

    def share(self, op: Op, x: Tensor) -> Tensor:
        """Numbers from 0 to 1 of the shape of ``x``, which ``op`` reads."""
        site = self.site(op.name)
        return self.builder.add(op, x.shape, site.bits, site.scale)

    def mlp(self, name: str, x: Tensor) -> Tensor:
        """From the normalised tokens to the increment of the stream."""
        active = self.gelu(f"{name}.gelu", self.linear(f"{name}.fc1", x))
        return self.linear(f"{name}.fc2", active, divisor=self.numbers.divisor)

    def run(self) -> Graph:
        """The whole network."""
        x = self.embed()
        for index in range(self.config.depth):
            name = f"blocks.{index}"
            if index in self.config.kept:
                x = self.selector(index, x)
            inner = self.norm(f"{name}.norm1", x)
            x = self.add(f"{name}.attn.add", x, self.attention(f"{name}.attn", inner))
            inner = self.norm(f"{name}.norm2", x)
            x = self.add(f"{name}.mlp.add", x, self.mlp(f"{name}.mlp", inner))
        # Only the class token is classified.
        token = self.norm("norm", x, tokens=1)
        self.linear("head", token, tokens=1)
        return self.builder.finish(LOGITS)


def assemble(numbers: Numbers, name: str) -> Graph:
    """The integer graph of a network, every interval proven.

    Raises
    ------
    OverflowRefused : an integer of the named op does not fit.
    """
    return _Assembly(numbers, GraphBuilder(name, **numbers.meta)).run()


def assemble_outline(numbers: Numbers, name: str) -> Graph:
    """The same ops and tensors, nothing proven: ``numbers`` may hold rows without weights."""
    return _Assembly(numbers, OutlineBuilder(name, **numbers.meta)).run()

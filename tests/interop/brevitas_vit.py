"""A ViT of Brevitas layers and of timm's structure, as another project would write and export it."""

import brevitas.nn as qnn
import torch
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
)
from torch import nn


class Int4Weight(Int8WeightPerChannelFloat):
    bit_width = 4


def linear(inputs, outputs, quant=Int4Weight):
    return qnn.QuantLinear(inputs, outputs, bias=True, weight_quant=quant)


def act():
    return qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.25
        self.qkv, self.proj = linear(width, 3 * width), linear(width, width)
        self.q, self.k, self.v, self.p, self.mixed = act(), act(), act(), act(), act()

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # Half of the factor on either side, as torch's own attention has it.
        scores = (self.q(q) * self.scale) @ (self.k(k) * self.scale).transpose(-2, -1)
        mixed = self.p(scores.softmax(-1)) @ self.v(v)
        return self.proj(self.mixed(mixed.transpose(1, 2).reshape(batch, tokens, width)))


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.act1, self.act2, self.act3 = act(), act(), act()
        self.attn, self.gelu = Attention(width, heads), nn.GELU()
        self.fc1, self.fc2 = linear(width, hidden), linear(hidden, width)

    def forward(self, x):
        x = x + self.attn(self.act1(self.norm1(x)))
        return x + self.fc2(self.act3(self.gelu(self.fc1(self.act2(self.norm2(x))))))


class BrevitasVit(nn.Module):
    """For 8 x 8 grey images in patches of 2 x 2."""

    def __init__(self, width=16, heads=2, hidden=32, depth=2, classes=10):
        super().__init__()
        self.image = act()
        self.patch = qnn.QuantConv2d(1, width, 2, 2, weight_quant=Int8WeightPerChannelFloat)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 17, width) * 0.5)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(depth))
        self.norm, self.act = nn.LayerNorm(width, eps=1e-6), act()
        self.head = linear(width, classes, Int8WeightPerTensorFloat)

    def forward(self, images):
        x = self.patch(self.image(images)).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.act(self.norm(x)[:, 0]))


def calibrated(seed=0):
    """A model whose activations have seen some images, in evaluation mode."""
    torch.manual_seed(seed)
    model = BrevitasVit().train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(8, 1, 8, 8))
    return model.eval()


def export(model, path, monkeypatch, dynamo=False):
    """Brevitas' own export, without the clean-up for which it wants another package."""
    import onnx
    from brevitas.export.onnx import manager
    from brevitas.export.onnx.qonnx.manager import QONNXDynamoManager, QONNXManager

    monkeypatch.setattr(manager, "onnx", onnx)
    monkeypatch.setattr(manager, "opt", object())
    monkeypatch.setattr(QONNXManager, "run_onnx_passes", False)
    images = torch.randn(1, 1, 8, 8)
    if dynamo:
        QONNXDynamoManager.export(model, images, str(path), dynamo=True, optimize=True)
    else:
        QONNXManager.export(model, images, str(path), opset_version=17, dynamo=False)

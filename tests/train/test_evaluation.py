"""Float, fake-quantized and integer network side by side, after a training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vitgen.data import ImageFolder, digits
from vitgen.lower import lower
from vitgen.lower.fidelity import evaluate
from vitgen.lower.prepare import float_twin, prepare
from vitgen.models import VitConfig
from vitgen.quant import QuantConfig
from vitgen.reference import predict, preprocess
from vitgen.train.loop import Trainer, normalise
from vitgen.train.loop import evaluate as evaluate_model
from vitgen.train.recipe import DIGITS

CONFIG = VitConfig("small", image=8, patch=4, embed_dim=24, depth=1, heads=2, channels=1, classes=10,
                   mlp_ratio=2.0, mean=(0.5,), std=(0.5,))  # fmt: skip
QUANT = QuantConfig.parse("4/8", scheme="mixed")
RECIPE = replace(DIGITS, float_epochs=6, quant_epochs=2, batch=32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The result of a short training, the model from its checkpoint, and its graph."""
    result = Trainer(CONFIG, QUANT, RECIPE, 0, tmp_path_factory.mktemp("trained")).run()

    def needless():
        raise AssertionError("the checkpoint brings its scales")

    model = prepare(CONFIG, QUANT, 0, result.checkpoint, needless)
    return result, model, lower(model)


def test_the_held_out_digits(trained):
    result, model, graph = trained
    images, labels = digits()[1]
    done: list[int] = []
    samples = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    twin = float_twin(model)
    found = evaluate(graph, twin, model, samples, done.append)

    assert found["images"] == done[-1] == 599 and done == sorted(done)
    normal = normalise(torch.tensor(images), CONFIG)
    assert found["top1"]["fake_quantized"] == result.accuracy_quant
    assert found["top1"]["float"] == evaluate_model(twin, normal, torch.tensor(labels)).accuracy
    patches = np.stack([preprocess(graph.meta, image) for image in images]).astype(np.int64)
    integer = predict(graph, patches).argmax(axis=1)
    assert found["top1"]["integer"] == np.mean(integer == labels)
    with torch.no_grad():
        fake = model.eval()(normal).argmax(dim=1).numpy()
    assert found["top1_agreement"] == np.mean(integer == fake) >= 0.99
    assert set(found["sqnr_db"]) <= {op.name for op in graph.ops}
    assert len(found["sqnr_db"]) == len(graph.ops)
    assert min(found["sqnr_db"].values()) > 20


@pytest.mark.parametrize(("count", "stated"), [(99, False), (100, True)])
def test_no_agreement_from_fewer_than_a_hundred_images(trained, count, stated):
    _, model, graph = trained
    images, labels = digits()[1]
    samples = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    found = evaluate(graph, float_twin(model), model, samples[:count])
    assert found["images"] == count
    assert (found["top1_agreement"] is not None) == stated


def test_a_folder_of_images(trained, tmp_path):
    _, model, graph = trained
    images, labels = digits()[1]
    for index in range(20):
        place = tmp_path / "folder" / str(labels[index])
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.rint(images[index, 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{index}.png")
    samples = [(image[..., :1], label) for image, label in ImageFolder(tmp_path / "folder")]
    names = ImageFolder(tmp_path / "folder").classes
    samples = [(image, int(names[label])) for image, label in samples]
    found = evaluate(graph, float_twin(model), model, samples)
    order = sorted(range(20), key=lambda i: (str(labels[i]), f"{i}.png"))
    stored = np.rint(images * 255).astype(np.float32) / 255  # as a file holds them
    direct = evaluate(graph, float_twin(model), model, [(stored[i], int(labels[i])) for i in order])
    assert found["images"] == 20 and found["top1"] == direct["top1"]


def test_images_without_labels_have_no_accuracy(trained):
    _, model, graph = trained
    images = digits()[1].images[:100]
    found = evaluate(graph, float_twin(model), model, [(image, None) for image in images])
    assert found["top1"] is None and found["top1_agreement"] is not None

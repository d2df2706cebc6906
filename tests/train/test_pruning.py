"""Training of networks that prune tokens: stages, resumption, rates, integers."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train.test_training import Killed, stop_after
from vitgen.errors import VitgenError
from vitgen.ir import Compact
from vitgen.lower import lower
from vitgen.models import VitConfig, create, load_checkpoint, load_into
from vitgen.quant import QuantConfig
from vitgen.reference import predict, preprocess
from vitgen.train import train
from vitgen.train.latency import mac_table
from vitgen.train.loop import Epoch, evaluate, normalise
from vitgen.train.pruned import PrunedTrainer
from vitgen.train.recipe import DIGITS
from vitgen.train.schedule import Pruning

SMALL = VitConfig("small", image=8, patch=2, embed_dim=12, depth=3, heads=2, channels=1, classes=10,
                  mlp_ratio=2.0, mean=(0.5,), std=(0.5,), keep="1:0.7,2:0.4")  # fmt: skip
QUANT = QuantConfig.parse("8/8", scheme="fixed")
QUICK = replace(DIGITS, float_epochs=1, quant_epochs=2, stage_epochs=2, joint_epochs=2, batch=256)


def trainer(out, config=SMALL, pruning=None, recipe=QUICK) -> PrunedTrainer:
    return PrunedTrainer(config, QUANT, recipe, 0, out, pruning or Pruning(mac_table(config)))


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def few_calibration_images():
    """They pass one by one, which takes longer than these trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitgen.train.loop.CALIBRATION_IMAGES", 64)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run and what it told."""
    told: list[Epoch] = []
    result = trainer(tmp_path_factory.mktemp("whole")).run(told.append)
    return result, told


def test_phases_are_told_epoch_by_epoch(whole):
    result, told = whole
    phases = [(epoch.phase, epoch.number, epoch.keep) for epoch in told]
    last, both = ((2, 0.4),), ((1, 0.7), (2, 0.4))
    assert phases == [
        ("float", 1, ()), ("stage", 1, last), ("stage", 2, last),
        ("stage", 1, both), ("stage", 2, both), ("joint", 1, both), ("joint", 2, both),
        ("quant", 1, both), ("quant", 2, both),
    ]  # fmt: skip
    assert (result.accuracy_float, result.accuracy_quant) == (told[0].accuracy, told[-1].accuracy)
    assert (result.keep, result.rates, result.epochs) == (both, told[-1].rates, 9)
    table = mac_table(SMALL)
    for epoch in told:
        reached = tuple((b, r) for (b, _), r in zip(epoch.keep, epoch.rates, strict=True))
        assert epoch.cycles == table.share(3, reached)
    assert 0.5 < result.cycles < 0.9 < told[0].cycles


def test_the_asked_rates_are_kept(whole):
    for epoch in whole[1]:
        assert epoch.rates == pytest.approx([rate for _, rate in epoch.keep], abs=0.1)


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param([("stage", 1)], marks=pytest.mark.slow),
        pytest.param([("joint", 1)], marks=pytest.mark.slow),
        [("float", 1), ("stage", 2), ("joint", 2), ("quant", 1)],
    ],
)
def test_a_killed_run_ends_as_an_uninterrupted_one(whole, tmp_path, stops):
    for stop in stops:
        with pytest.raises(Killed):
            trainer(tmp_path).run(stop_after(*stop))
    told: list[Epoch] = []
    result = trainer(tmp_path).run(told.append)
    assert told == whole[1][9 - len(told) :] and len(told) < 9
    assert digest(result.checkpoint) == digest(whole[0].checkpoint)
    assert replace(result, seconds=0, checkpoint=None) == replace(
        whole[0], seconds=0, checkpoint=None
    )


def test_the_checkpoint_is_the_network_that_was_told_of(whole):
    result, _ = whole
    model = create(SMALL, QUANT, 3)
    load_into(model, load_checkpoint(result.checkpoint))
    run = trainer(result.checkpoint.parent)
    images, labels = run.held_out
    found = evaluate(model, normalise(images, SMALL), labels)
    assert (found.accuracy, found.rates) == (result.accuracy_quant, result.rates)
    graph = lower(model.eval())
    thresholds = [op.threshold for op in graph.ops if isinstance(op, Compact)]
    assert thresholds == [float(s.threshold) * 2**14 for s in model.selectors()]
    tokens = np.stack([preprocess(graph.meta, image.numpy()) for image in images[:100]])
    integer = predict(graph, tokens.astype(np.int64)).argmax(axis=1)
    with torch.no_grad():
        chosen = model(normalise(images[:100], SMALL)).argmax(dim=1).numpy()
    assert (integer == chosen).mean() >= 0.9


@pytest.mark.slow
def test_a_target_finds_blocks_and_rates(tmp_path):
    free = replace(SMALL, keep=())
    asked = Pruning(mac_table(free), 0.75, budget=1.0)
    told: list[Epoch] = []
    recipe = replace(QUICK, stage_epochs=1, joint_epochs=1, float_epochs=1, quant_epochs=1)
    result = trainer(tmp_path, free, asked, recipe).run(told.append)
    assert mac_table(free).share(3, result.keep) <= 0.75
    stages = [epoch.keep for epoch in told if epoch.phase == "stage"]
    assert stages[0] == ((2, 0.85),) and stages[-1][0][0] == 1
    assert told[-1].keep == result.keep and result.cycles == pytest.approx(0.75, abs=0.05)


def test_a_directory_with_other_rates_is_refused(whole):
    with pytest.raises(VitgenError, match="other settings") as caught:
        trainer(whole[0].checkpoint.parent, replace(SMALL, keep="1:0.6")).run()
    assert "config.keep" in caught.value.problem


def test_rates_and_a_target_exclude_each_other(tmp_path):
    with pytest.raises(VitgenError, match="target latency of 0.7"):
        train("vit_digits", "8/8", tmp_path, keep="1:0.5", target=0.7)
    with pytest.raises(VitgenError, match="target latency is 0.01"):
        train("vit_digits", "8/8", tmp_path, target=0.01)
    with pytest.raises(VitgenError, match="block 7"):
        train("vit_digits", "8/8", tmp_path, keep="7:0.5")
    assert not list(tmp_path.iterdir())


def test_train_takes_keep_rates(tmp_path):
    told: list[Epoch] = []

    def stop(epoch: Epoch) -> None:
        told.append(epoch)
        if epoch.phase == "stage":
            raise Killed

    with pytest.raises(Killed):
        train("vit_digits", "8/8", tmp_path, epochs=2, keep="3:0.3", progress=stop)
    assert told[-1].keep == ((3, 0.3),)

"""Training on the digits: the same bytes for the same seed, whole or in pieces."""

import hashlib
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from vitgen.errors import VitgenError
from vitgen.lower import lower
from vitgen.models import VitConfig, create, load_checkpoint, load_into
from vitgen.quant import QuantConfig
from vitgen.reference import predict, preprocess
from vitgen.train import recipe_for, train
from vitgen.train.loop import Epoch, Trainer, evaluate, normalise
from vitgen.train.recipe import DIGITS
from vitgen.train.state import METADATA

SMALL = VitConfig("small", image=8, patch=4, embed_dim=8, depth=1, heads=2, channels=1, classes=10,
                  mlp_ratio=2.0, mean=(0.5,), std=(0.5,))  # fmt: skip
QUANT = QuantConfig.parse("4/8", scheme="mixed")
QUICK = replace(DIGITS, float_epochs=2, quant_epochs=3, batch=256)


class Killed(BaseException):
    """Like KeyboardInterrupt, no Exception: nothing may swallow it."""


def trainer(out, seed=0, config=SMALL, quant=QUANT, recipe=QUICK) -> Trainer:
    return Trainer(config, quant, recipe, seed, out)


def stop_after(phase: str, number: int):
    def progress(epoch: Epoch) -> None:
        if (epoch.phase, epoch.number) == (phase, number):
            raise Killed

    return progress


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run and what it told."""
    told: list[Epoch] = []
    result = trainer(tmp_path_factory.mktemp("whole")).run(told.append)
    return result, told


def test_both_phases_are_told_epoch_by_epoch(whole):
    result, told = whole
    assert [(e.phase, e.number, e.total) for e in told] == [
        ("float", 1, 2), ("float", 2, 2), ("quant", 1, 3), ("quant", 2, 3), ("quant", 3, 3),
    ]  # fmt: skip
    assert (result.accuracy_float, result.accuracy_quant) == (told[1].accuracy, told[4].accuracy)
    assert result.epochs == 5 and result.seconds > 0
    assert all(0 <= e.accuracy <= 1 and e.loss > 0 for e in told)


def test_the_loss_falls(whole):
    _, told = whole
    assert told[-1].loss < told[0].loss


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bytes(whole, tmp_path, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.rand(7)  # the global generator is of no consequence
        again = trainer(tmp_path).run()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert digest(again.checkpoint) == digest(whole[0].checkpoint)
    assert again.accuracy_quant == whole[0].accuracy_quant


def test_another_seed_gives_another_network(whole, tmp_path):
    other = trainer(tmp_path, seed=1).run()
    assert digest(other.checkpoint) != digest(whole[0].checkpoint)


@pytest.mark.parametrize(
    "stops",
    [
        [("float", 1)],
        [("float", 2)],
        [("quant", 1)],
        [("quant", 3)],
        [("float", 1), ("quant", 1), ("quant", 2)],
    ],
)
def test_a_killed_run_ends_as_an_uninterrupted_one(whole, tmp_path, stops):
    for stop in stops:
        with pytest.raises(Killed):
            trainer(tmp_path).run(stop_after(*stop))
        assert not (tmp_path / "checkpoint.safetensors").exists()
    told: list[Epoch] = []
    result = trainer(tmp_path).run(told.append)
    assert told == [e for e in whole[1] if (e.phase, e.number) > stops[-1]]
    assert digest(result.checkpoint) == digest(whole[0].checkpoint)
    assert result.accuracy_float == whole[0].accuracy_float
    assert result.accuracy_quant == whole[0].accuracy_quant


def test_a_run_killed_within_an_epoch_repeats_it(whole, tmp_path, monkeypatch):
    steps = 0
    step = torch.optim.AdamW.step

    def count(self, *args, **options):
        nonlocal steps
        steps += 1
        if steps == 13:  # in the middle of the third epoch, of five steps each
            raise KeyboardInterrupt
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", count)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).run()
    result = trainer(tmp_path).run()
    assert digest(result.checkpoint) == digest(whole[0].checkpoint)


def test_a_run_killed_while_it_writes_leaves_the_state_before(whole, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        trainer(tmp_path).run(stop_after("float", 1))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer(tmp_path).run()
    (tmp_path / ".state.pt.1.partial").write_bytes(b"left by kill -9")
    result = trainer(tmp_path).run()
    assert digest(result.checkpoint) == digest(whole[0].checkpoint)
    assert {p.name for p in tmp_path.iterdir()} == {
        "state.pt", "checkpoint.safetensors", "result.json"
    }  # fmt: skip


def test_a_finished_training_is_not_repeated(whole):
    told: list[Epoch] = []
    result, _ = whole
    before = digest(result.checkpoint)
    again = trainer(result.checkpoint.parent).run(told.append)
    assert told == []
    assert digest(again.checkpoint) == before
    assert replace(again, seconds=result.seconds) == result


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 5}, "seed: 0, not 5"),
        ({"quant": QuantConfig.parse("8/8")}, "quant.weight_bits: '4', not '8'"),
        ({"recipe": replace(QUICK, batch=100)}, "recipe.batch: 256, not 100"),
        ({"config": replace(SMALL, heads=4)}, "config.heads: 2, not 4"),
    ],
)
def test_a_directory_of_another_training_is_refused(whole, change, named):
    with pytest.raises(VitgenError, match="other settings") as caught:
        trainer(whole[0].checkpoint.parent, **change).run()
    assert named in caught.value.problem


def test_a_training_by_another_version_is_refused(whole, monkeypatch):
    monkeypatch.setattr("vitgen.train.record.__version__", "99.0")
    with pytest.raises(VitgenError, match="99.0"):
        trainer(whole[0].checkpoint.parent).run()


def malicious() -> object:
    class Command:
        def __reduce__(self):
            return print, ("executed",)

    return Command()


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "code"])
def test_a_damaged_state_is_refused(whole, tmp_path, damage, capsys):
    state = (whole[0].checkpoint.parent / "state.pt").read_bytes()
    path = tmp_path / "state.pt"
    if damage == "code":
        torch.save({"settings": malicious()}, path)
    elif damage == "other":
        torch.save([1, 2], path)
    else:
        path.write_bytes(state[: len(state) // 2] if damage == "cut" else b"")
    with pytest.raises(VitgenError, match=r"state\.pt cannot be read"):
        trainer(tmp_path).run()
    assert "executed" not in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(VitgenError, match="file"):
        trainer(tmp_path / "file").run()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(VitgenError, match="No space left on device"):
        trainer(tmp_path / "out").run()
    assert not list((tmp_path / "out").iterdir())


def test_a_training_that_diverges_is_refused(tmp_path):
    wild = replace(QUICK, float_rate=1e30)
    with pytest.raises(VitgenError, match="diverged"):
        trainer(tmp_path, recipe=wild).run()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_have_a_range(tmp_path, seed):
    with pytest.raises(VitgenError, match=str(seed)):
        trainer(tmp_path, seed=seed)


def test_the_largest_seed_trains(tmp_path):
    with pytest.raises(Killed):
        trainer(tmp_path, seed=2**32 - 1).run(stop_after("float", 1))


def test_the_checkpoint_says_what_it_is(whole):
    content = whole[0].checkpoint.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][METADATA])
    named = {key: about[key] for key in ("model", "bits", "scheme", "seed", "epoch")}
    assert named == {"model": "small", "bits": "4/8", "scheme": "mixed", "seed": 0, "epoch": 5}
    assert QuantConfig(**about["quant"]) == QUANT and VitConfig(**about["config"]) == SMALL


def test_the_checkpoint_loads_with_its_scales(whole):
    result, _ = whole
    model = create(SMALL, QUANT, 3)
    load_into(model, load_checkpoint(result.checkpoint))
    images, labels = trainer(result.checkpoint.parent).held_out
    assert evaluate(model, normalise(images, SMALL), labels).accuracy == result.accuracy_quant


def test_recipes_are_for_models_of_digits():
    assert recipe_for(SMALL) is DIGITS
    scaled = recipe_for(SMALL, 8)
    assert (scaled.float_epochs, scaled.quant_epochs) == (6, 2)
    assert (recipe_for(SMALL, 2).float_epochs, recipe_for(SMALL, 2).quant_epochs) == (1, 1)
    with pytest.raises(VitgenError, match="--epochs is 1"):
        recipe_for(SMALL, 1)
    with pytest.raises(VitgenError, match="no training images for small"):
        recipe_for(replace(SMALL, classes=11))


def test_train_takes_names_and_labels(tmp_path):
    with pytest.raises(Killed):
        train("vit_digits", "8/8", tmp_path, epochs=2, progress=stop_after("float", 1))
    assert (tmp_path / "state.pt").exists()
    with pytest.raises(VitgenError, match="deit_t"):
        train("deit_t", "8/8", tmp_path)
    with pytest.raises(VitgenError, match="9/8"):
        train("vit_digits", "9/8", tmp_path)


def test_a_finished_training_gives_its_result_at_once(tiny_training, monkeypatch):
    first, again = tiny_training

    def refuse(*_, **__):
        raise AssertionError("a finished training ran again")

    with monkeypatch.context() as patch:
        patch.setattr("vitgen.train.loop.Trainer", refuse)
        assert replace(again(), seconds=first.seconds) == first
        with pytest.raises(AssertionError):
            again(seed=1)
    before = first.checkpoint.read_bytes()
    for harm in (first.checkpoint.unlink, lambda: first.checkpoint.write_bytes(before[:-1])):
        harm()
        assert replace(again(), seconds=first.seconds) == first
        assert first.checkpoint.read_bytes() == before
    record = first.checkpoint.parent / "result.json"
    record.write_text("{}")
    assert replace(again(), seconds=first.seconds) == first


@pytest.fixture
def tiny_training(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL.to_dict()))

    def run(**options):
        return train(str(path), QUANT, tmp_path / "out", epochs=2, **options)

    return run(), run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "scheme"),
    [("4/8", "mixed"), ("4/8", "fixed"), ("4/8", "pot"), ("8/8", "fixed"), ("4+8/8", "mixed")],
)
def test_the_recipe_reaches_its_accuracy(tmp_path, bits, scheme):
    result = train("vit_digits", QuantConfig.parse(bits, scheme=scheme), tmp_path)
    assert result.accuracy_quant >= 0.95
    assert result.accuracy_float >= 0.95


def test_a_stem_trains_and_its_integers_answer_alike(tmp_path):
    """BatchNorm's statistics settle in float and stay in the quantized phase; the lowered network
    gives the answers of the trained one."""
    shape = replace(
        SMALL, qkv_bias=False, skip_lam=2.0, embed_dim=16,
        stem=({"channels": 8, "kernel": 3, "stride": 2}, {"channels": 8, "kernel": 3}),
    )  # fmt: skip
    run = trainer(tmp_path, config=shape, recipe=replace(QUICK, batch=64))
    result = run.run()
    state = load_checkpoint(result.checkpoint)
    name = "patch_embed.bn1.running_mean"
    fresh = create(shape, None, 0).state_dict()
    assert not torch.allclose(state[name], fresh[name], atol=0.1)
    steps = state["patch_embed.bn1.num_batches_tracked"]
    assert int(steps) == 2 * (len(run.train_part[0]) // 64 + 1)
    model = create(shape, QUANT, 0).eval()
    load_into(model, state)
    graph = lower(model)
    images, _ = run.held_out
    assert result.accuracy_quant > 0.4
    tokens = np.stack([preprocess(graph.meta, image.numpy()) for image in images[:200]])
    integer = predict(graph, tokens.astype(np.int64)).argmax(axis=1)
    with torch.no_grad():
        chosen = model(normalise(images[:200], shape)).argmax(dim=1).numpy()
    assert (integer == chosen).mean() >= 0.97

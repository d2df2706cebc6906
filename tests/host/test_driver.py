"""The shipped driver on a device whose accelerator is the reference: results, order, buffers."""

import threading

import numpy as np
import pytest
from PIL import Image

from tests.host.fake import FakeDevice, slowly
from vitgen.design.isa import encode_program
from vitgen.design.stepping import single_steps


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (8, 8), dtype=np.uint8) for _ in range(count)]


def expected(built, batch):
    return np.stack([built.logits(image) for image in batch])


def test_a_batch_gets_the_logits_of_the_reference(driver, device, built):
    batch = images(5)
    with driver.Accelerator() as vit:
        found = vit.predict(batch)
        again = vit.predict(batch[::-1])
    assert np.array_equal(found.logits, expected(built, batch))
    assert found.logits.dtype == np.int64 and len(found) == 5
    assert np.array_equal(again.logits, found.logits[::-1])
    assert device.runs == [encode_program(built.program.instructions)] * 10


@pytest.mark.parametrize("form", ["array", "pil", "path", "text", "batch", "float", "generator"])
def test_every_form_of_an_image(driver, device, built, tmp_path, form):
    image = images(1, seed=3)[0]
    path = tmp_path / "digit.png"
    Image.fromarray(image).save(path)
    given = {
        "array": image[..., None],
        "pil": Image.open(path),
        "path": path,
        "text": str(path),
        "batch": image[None, ..., None],
        "float": image / 255.0,
        "generator": (one for one in [image]),
    }[form]
    with driver.Accelerator() as vit:
        found = vit.predict(given)
    assert np.array_equal(found.logits, expected(built, [image]))


def test_classes_by_name_and_probability(driver, device, built):
    logits = np.array([[3, 9, 9, -4], [1, 0, 2, 1]])
    found = driver.Predictions(logits, 0.5, ["a", "b", "c", "d"])
    assert found.labels == ["b", "c"] and found.indices.tolist() == [1, 2]
    power = np.exp(logits * 0.5)
    share = power / power.sum(axis=1, keepdims=True)
    assert np.allclose(found.probabilities, share, rtol=1e-12, atol=0)
    assert [name for name, _ in found.top(3)[0]] == ["b", "c", "a"]
    assert found.top(2)[1] == [("c", pytest.approx(share[1, 2])), ("a", pytest.approx(share[1, 0]))]
    assert driver.Predictions(logits, 1.0, None).labels == ["1", "2"]


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_stream_gives_the_same_in_order(driver, device, built, batch):
    shown = images(7)
    with driver.Accelerator() as vit:
        found = list(vit.predict_stream(iter(shown), batch))
    assert [len(part) for part in found] == [batch] * (7 // batch) + [7 % batch] * (7 % batch > 0)
    logits = np.concatenate([part.logits for part in found])
    assert np.array_equal(logits, expected(built, shown))


def test_images_are_made_ready_while_the_device_runs(driver, device, built):
    """Every image but the first is packed while an earlier one is on the device, and the result of
    an image is given while the next one is on it."""
    running = threading.Event()
    packed_while, given_while = [], []

    def behave(device: FakeDevice) -> None:
        running.set()
        slowly(0.05)(device)
        running.clear()

    device.behave = behave
    with driver.Accelerator() as vit:
        pack = vit._preprocessor.pack
        vit._preprocessor.pack = lambda image: (packed_while.append(running.is_set()), pack(image))[
            1
        ]
        for _ in vit.predict_stream(iter(images(8))):
            given_while.append(running.is_set())
    assert packed_while[-4:] == [True] * 4
    assert given_while == [True] * 7 + [False]


def test_two_image_buffers_take_turns(driver, device, built):
    used = []

    def behave(device: FakeDevice) -> None:
        used.append((device.pointer("image"), device.pointer("output"), device.pointer("params")))
        device.compute()

    device.behave = behave
    with driver.Accelerator() as vit:
        vit.predict(images(4))
    assert used[0] != used[1] and used[:2] == used[2:]
    assert len({image for image, _, _ in used}) == len({output for _, output, _ in used}) == 2
    assert len({params for _, _, params in used}) == 1


def test_closing_frees_everything(driver, device):
    vit = driver.Accelerator()
    assert device.buffers
    vit.predict(images(1))
    vit.close()
    vit.close()
    assert not device.buffers and device.memory == 1 << 30
    assert vit.status() == {
        "open": False, "reload": False, "design": vit.deployment["design"],
        "bitfile": vit.bitfile_name,
    }  # fmt: skip
    with pytest.raises(driver.AcceleratorError, match="is closed.*Accelerator()"):
        vit.predict(images(1))
    with driver.Accelerator() as again:
        again.predict(images(1))


def test_profile_runs_every_instruction_alone(driver, device, built):
    image = images(1)[0]
    with driver.Accelerator() as vit:
        found = vit.profile(image)
        after = vit.predict(image)
        assert len(device.buffers) == len(vit.deployment["buffers"]) + 2  # the steps are gone
    steps = single_steps(built.program)
    assert device.runs[:-1] == [encode_program(code) for _, code in steps]
    assert device.runs[-1] == encode_program(built.program.instructions)
    assert [step.instruction for step in found.steps] == [index for index, _ in steps]
    assert [step.cycles for step in found.steps] == [1001 + i for i in range(len(steps))]
    assert np.array_equal(found.predictions.logits, after.logits)
    assert found.counted and found.overhead == min(step.seconds for step in found.steps)
    # Every step belongs to the layer of its op, and to no other.
    totals: dict[str, float] = {}
    for (index, _), step in zip(steps, found.steps, strict=True):
        name = built.program.instructions[index].op
        totals[name] = totals.get(name, 0) + step.cycles / 150e6
    assert {layer.name: layer.seconds for layer in found.layers} == pytest.approx(totals)
    assert all(layer.estimated == pytest.approx(100 / 150e6) for layer in found.layers)


@pytest.mark.parametrize("there", [False, True], ids=["no registers", "nothing counted"])
def test_profile_without_counters(driver, device, built, there):
    """Vitis's slave has no counter, and a C simulation counts nothing."""
    device.__init__(built, device.tag, counters=there, vlnv="xilinx.com:hls:vit_top:1.0")

    def behave(device: FakeDevice) -> None:
        device.compute()
        device.words[device.offsets.get("cycles", -4)] = 0

    device.behave = behave
    with driver.Accelerator() as vit:
        found = vit.profile(images(1)[0])
        assert vit.status()["status"] == (0 if there else None)
        assert vit.status()["cycles"] is None
    assert not found.counted and {step.cycles for step in found.steps} == {None}
    assert sum(layer.seconds for layer in found.layers) == pytest.approx(
        sum(step.seconds for step in found.steps)
    )


def test_the_golden_image(driver, device, built):
    with driver.Accelerator() as vit:
        vit.self_test()
        honest = device.behave

        def wrong(device: FakeDevice) -> None:
            honest(device)
            device.at("output")[6] ^= 1

        device.behave = wrong
        with pytest.raises(driver.DeviceFault, match="1 of 10 logits are wrong.*class 3") as caught:
            vit.self_test()
    assert caught.value.faults == ["logit 3"]


def test_status(driver, device):
    with driver.Accelerator() as vit:
        vit.predict(images(1))
        found = vit.status()
        assert found["open"] and found["idle"] and not found["reload"] and not found["interrupt"]
        assert (found["cycles"], found["status"], found["faults"]) == (1001, 0, [])


def test_power(driver, device, monkeypatch):
    class Sensor:
        def __init__(self, value):
            self.value = value

    class Rail:
        def __init__(self, power=None, voltage=None, current=None):
            self.power, self.voltage, self.current = power, voltage, current

    rails = {
        "VCCINT": Rail(power=Sensor(3.5)),
        "VCCAUX": Rail(voltage=Sensor(1.8), current=Sensor(0.5)),
        "DARK": Rail(),
    }
    monkeypatch.setattr("pynq.get_rails", lambda: rails)
    with driver.Accelerator() as vit:
        facts = vit.deployment["board_facts"]
        facts["power"] = {"rails": []}
        assert vit.power() is None
        facts["power"] = {"rails": ["VCCINT", "VCCAUX", "DARK", "ABSENT"]}
        assert vit.power() == {"VCCINT": 3.5, "VCCAUX": pytest.approx(0.9)}
        rails.clear()
        assert vit.power() is None


def test_addresses_beyond_four_gigabytes(driver, device, built):
    device.next = 0x8_7654_3000
    batch = images(3)
    with driver.Accelerator() as vit:
        assert np.array_equal(vit.predict(batch).logits, expected(built, batch))
        assert device.pointer("weights_1") > 1 << 32

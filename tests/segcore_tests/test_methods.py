"""One contract for every row of the table of methods, and what is particular to some."""

import dataclasses
from typing import Any

import pytest
import torch
from peft import AdaLoraModel, LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.methods import METHODS
from segcore.methods.adalora import AdaLora, svd_layers
from segcore.methods.adapter import Adapter, Bottleneck
from segcore.methods.galore import ProjectedGradient
from segcore.methods.lora_qv import LoraQv, QvAdapter
from segcore.methods.method import Method, head_parameters
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.system import System
from segcore.testing import LANDMARKS, check_method
from segcore.training.loop import Training
from segcore.training.runtime import Runtime
from segcore.training.schedule import OptimConfig
from srft_galore import RECOMMENDED

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
LOW_RANK = tuple(sorted(METHODS.keys() - {"frozen", "full", "adapter"}))
MERGEABLE = tuple(name for name in METHODS if Method.named(name).mergeable)


def build(config: TrainConfig, name: str, **fields: Any) -> tuple[System, Method]:
    torch.manual_seed(0)
    system = config.system.build(CLASSES)
    method = Method.named(name, **fields)
    method.adapt(system)
    return system, method


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels_BHW = torch.randint(0, 4, (2, 128, 128), generator=generator)
    return Batch(
        image_B3HW=torch.rand(2, 3, 128, 128, generator=generator),
        target_BKHW=torch.nn.functional.one_hot(labels_BHW, 4).permute(0, 3, 1, 2).float(),
        sample_ids=("a", "b"),
        patient_ids=("a", "b"),
        depth_B1HW=torch.rand(2, 1, 128, 128, generator=generator),
    )


def steps(system: System, method: Method, config: TrainConfig, count: int) -> list[float]:
    optimizer = method.optimizer(system, config.optim)
    losses = []
    for step in range(count):
        optimizer.zero_grad()
        loss = system.loss(system(batch(), (128, 128)), batch(), FINISHED) + method.extra_loss(
            system
        )
        loss.backward()
        optimizer.step()
        method.after_step(system, optimizer, step + 1, count)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", METHODS)
def test_every_method_lowers_the_loss(tiny: TrainConfig, name: str) -> None:
    system, method = build(tiny, name)
    losses = steps(system, method, tiny, 6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", METHODS)
def test_what_moves_is_what_requires_grad(tiny: TrainConfig, name: str) -> None:
    system, method = build(tiny, name)
    before = {n: p.detach().clone() for n, p in system.named_parameters()}
    steps(system, method, tiny, 2)
    for parameter_name, parameter in system.named_parameters():
        moved = not torch.equal(before[parameter_name], parameter)
        assert moved == parameter.requires_grad, parameter_name


@pytest.mark.parametrize("name", METHODS)
def test_the_head_starts_alike_for_every_method(tiny: TrainConfig, name: str) -> None:
    reference, _ = build(tiny, "frozen")
    system, _ = build(tiny, name)
    for one, other in zip(head_parameters(reference), head_parameters(system), strict=False):
        assert torch.equal(one, other)
    assert all(p.requires_grad for p in head_parameters(system)), "the head always trains"


@pytest.mark.parametrize("name", METHODS)
def test_before_the_first_step_the_prediction_is_the_pretrained_one(
    tiny: TrainConfig, name: str
) -> None:
    reference, _ = build(tiny, "frozen")
    system, _ = build(tiny, name)
    outputs: list[Tensor] = []
    with torch.no_grad():
        for s in (reference, system):
            s.eval()
            outputs.append(s(batch(), 128).logits_BKhw)
    assert torch.allclose(outputs[0], outputs[1], atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_gives_nearly_the_same_loss_and_gradients(
    tiny: TrainConfig, name: str
) -> None:
    system, method = build(tiny, name)
    losses, norms = [], []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = system.loss(system(batch(), (128, 128)), batch(), FINISHED)
        (loss + method.extra_loss(system)).backward()
        gradients = [p.grad for p in system.parameters() if p.grad is not None]
        assert all(g.isfinite().all() and g.dtype == torch.float32 for g in gradients)
        losses.append(loss.item())
        norms.append(torch.nn.utils.get_total_norm(gradients).item())
        system.zero_grad()
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert norms[1] == pytest.approx(norms[0], rel=0.2)


@pytest.mark.parametrize("name", LOW_RANK)
def test_low_rank_methods_move_the_attention_of_sam2_alone(tiny: TrainConfig, name: str) -> None:
    system, _ = build(tiny, name)
    moving = [
        n
        for n, p in system.named_parameters()
        if p.requires_grad and n.split(".")[0] in system.pretrained()
    ]
    assert moving
    for parameter_name in moving:
        assert parameter_name.startswith("rgb.")
        assert ".attn.qkv" in parameter_name or ".attn.proj" in parameter_name


def test_galore_and_srft_galore_differ_in_the_projector_alone(tiny: TrainConfig) -> None:
    groups = []
    for name in ("galore", "srft_galore"):
        system, method = build(tiny, name)
        group = method.optimizer(system, tiny.optim).param_groups[1]
        groups.append({k: v for k, v in group.items() if k != "params"})
    assert groups[0].pop("projector") == "svd"
    assert groups[1].pop("projector") == "srft"
    assert groups[0] == groups[1]


@pytest.mark.parametrize("name", MERGEABLE)
def test_merged_it_predicts_the_same_and_has_the_plain_names(tiny: TrainConfig, name: str) -> None:
    plain, _ = build(tiny, "frozen")
    system, method = build(tiny, name)
    before = {n: x.clone() for n, x in plain.state_dict().items()}
    steps(system, method, tiny, 3)
    with torch.no_grad():
        adapted = system.eval()(batch(), 128).logits_BKhw
        method.merge(system)
        assert torch.allclose(system(batch(), (128, 128)).logits_BKhw, adapted, atol=1e-4)
    merged = system.state_dict()
    assert merged.keys() == before.keys()
    changed = [n for n, x in merged.items() if n.startswith("rgb.") and not x.equal(before[n])]
    assert bool(changed) == (name != "frozen")


@pytest.mark.parametrize("behind", ["mlp", "attention+mlp"])
def test_an_adapter_stands_behind_every_block(tiny: TrainConfig, behind: str) -> None:
    """Of output width o, 2 o w + w + o parameters each."""
    system, _ = build(tiny, "adapter", width=5, behind=behind)
    found = {n: m for n, m in system.named_modules() if isinstance(m, Bottleneck)}
    places = [n.split(".blocks.")[1].partition(".")[2] for n in found]
    assert sorted({*places}) == (
        ["mlp.layers.1"] if behind == "mlp" else ["attn.proj", "mlp.layers.1"]
    )
    blocks = {n.split(".blocks.")[1].partition(".")[0] for n in found}
    assert len(found) == len(blocks) * (1 if behind == "mlp" else 2)
    for module in found.values():
        outputs = module.layer.out_features
        moving = [p.numel() for p in module.parameters() if p.requires_grad]
        assert sum(moving) == 2 * outputs * 5 + 5 + outputs
    with pytest.raises(ValueError, match="not linear and can't be merged"):
        Method.named("adapter").merge(system)


def test_full_moves_every_pretrained_parameter(tiny: TrainConfig) -> None:
    assert all(p.requires_grad for p in build(tiny, "full")[0].parameters())


@pytest.mark.parametrize("targets", ["encoder", "attention+mlp", "attention"])
def test_full_moves_its_targets_and_no_other(tiny: TrainConfig, targets: Any) -> None:
    system, _ = build(tiny, "full", targets=targets)
    plain, _ = build(tiny, "frozen")
    head = {n for n, p in plain.named_parameters() if p.requires_grad}
    moved = {n for n, p in system.named_parameters() if p.requires_grad} - head
    if targets == "encoder":
        assert moved == {n for n, _ in system.named_parameters() if n.startswith("rgb.")}
    else:
        assert moved == {f"{path}.weight" for path in system.adaptable(targets)}


def test_identity_is_full_on_the_same_weights(tiny: TrainConfig) -> None:
    """Two optimizers that are written apart, on the weights that the low-rank methods move."""
    courses, states = [], []
    for name, fields in (("identity", {}), ("full", {"targets": "attention"})):
        system, method = build(tiny, name, lr=2e-3, **fields)
        courses.append(steps(system, method, tiny, 4))
        states.append({n: p.detach() for n, p in system.named_parameters()})
    assert courses[0] == pytest.approx(courses[1], rel=1e-4)
    for n, p in states[0].items():
        torch.testing.assert_close(p, states[1][n], rtol=0, atol=2e-3, msg=n)


def test_galore_as_published_has_its_own_defaults_and_signs(tiny: TrainConfig) -> None:
    groups = []
    for name in ("galore", "galore_published"):
        system, method = build(tiny, name)
        group = method.optimizer(system, tiny.optim).param_groups[1]
        groups.append({k: v for k, v in group.items() if k != "params"})
    ours, theirs = groups
    differing = {k: (ours[k], theirs[k]) for k in ours if ours[k] != theirs[k]}
    assert differing == {
        "update_proj_gap": (50, 200),
        "scale": (1.0, 0.25),
        "signs": ("aligned", "free"),
    }


@pytest.mark.parametrize("residual", ["drop", "sign"])
def test_plus_has_the_recommended_options(tiny: TrainConfig, residual: str) -> None:
    system = tiny.system.build(LANDMARKS)
    method = Method.named("srft_galore_plus", rank=2, residual=residual)
    method.adapt(system)
    groups = [g for g in method.optimizer(system, tiny.optim).param_groups if "rank" in g]
    expected = {**RECOMMENDED, "projector": "srft", "residual": residual}
    assert groups
    for group in groups:
        assert {key: group[key] for key in expected} == expected


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"frozen"}))
def test_a_rate_follows_the_preset_unless_it_is_given(tiny: TrainConfig, name: str) -> None:
    method = Method.named(name)
    high, low = OptimConfig(lr=3e-3), OptimConfig(lr=5e-5)
    rates = [method.rate(high), method.rate(low)]
    assert None not in rates
    assert rates[0] / rates[1] == pytest.approx(60)  # type: ignore[operator]
    assert Method.named(name, lr=1e-4).rate(low) == 1e-4
    system, _ = build(tiny, name)
    peaks = {group["lr"] for group in method.optimizer(system, low).param_groups}
    assert peaks == {low.lr, rates[1]}


@pytest.mark.parametrize("name", LOW_RANK)
def test_trained_parameters_follow_the_formula(tiny: TrainConfig, name: str) -> None:
    """At rank 4, with i inputs and o outputs of each target."""
    plain, _ = build(tiny, "frozen")
    shapes = [(m.in_features, m.out_features) for m in plain.adaptable("attention").values()]
    fused = [(m.in_features, m.out_features) for m in plain.fused_qkv().values()]
    expected = {
        "lora": sum(4 * (i + o) for i, o in shapes),
        "lora_qv": sum(2 * 4 * (i + o // 3) for i, o in fused),
        "dora": sum(4 * (i + o) + o for i, o in shapes),
        "adalora": sum(6 * (i + o + 1) for i, o in shapes),
    }
    system, method = build(tiny, name, **({} if name == "identity" else {"rank": 4}))
    head = {id(p) for p in head_parameters(system)}
    trained = sum(p.numel() for p in system.parameters() if p.requires_grad and id(p) not in head)
    if isinstance(method, ProjectedGradient):
        assert trained == sum(i * o for i, o in shapes)
    else:
        assert trained == expected[name]


@pytest.mark.parametrize("name", ["lora", "lora_qv", "dora", "adalora"])
@pytest.mark.parametrize("change", [{"rank": 2}, {"alpha": 1}, {"lr": 1e-4}])
def test_every_setting_of_an_adapter_counts(
    tiny: TrainConfig, name: str, change: dict[str, Any]
) -> None:
    outputs = []
    for fields in ({}, change):
        system, method = build(tiny, name, **fields)
        steps(system, method, tiny, 2)
        with torch.no_grad():
            outputs.append(system(batch(), (128, 128)).logits_BKhw)
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-4)


def test_fused_q_and_v_adapters_are_those_of_two_layers_of_their_own() -> None:
    torch.manual_seed(0)
    fused = nn.Linear(6, 3 * 5)
    q, k, v = (nn.Linear(6, 5) for _ in range(3))
    for number, layer in enumerate((q, k, v)):
        rows = slice(5 * number, 5 * number + 5)
        layer.load_state_dict({"weight": fused.weight[rows], "bias": fused.bias[rows]})
    separate: Any = nn.ModuleDict({"q": q, "k": k, "v": v})
    inject_adapter_in_model(LoraConfig(r=2, lora_alpha=6, target_modules=["q", "v"]), separate)
    own = QvAdapter(fused, 2, scaling=3.0)
    pairs = []
    for name in ("q", "v"):
        adapted = separate[name]
        for part, matrix in (("A_RI", adapted.lora_A.default), ("B_OR", adapted.lora_B.default)):
            parameter = own.get_parameter(f"{name}_{part}")
            nn.init.normal_(matrix.weight)
            with torch.no_grad():
                parameter.copy_(matrix.weight)
            pairs.append((parameter, matrix.weight))
    x = torch.randn(4, 7, 6)
    one, two = own(x), torch.cat([separate[name](x) for name in "qkv"], dim=-1)
    torch.testing.assert_close(one, two)
    for out in (one, two):
        out.square().sum().backward()
    for parameter, reference in pairs:
        torch.testing.assert_close(parameter.grad, reference.grad)
    own.merge()
    torch.testing.assert_close(own.get_base_layer()(x), two)


def test_lora_qv_leaves_the_keys_alone(tiny: TrainConfig) -> None:
    plain, _ = build(tiny, "frozen")
    system, method = build(tiny, "lora_qv")
    steps(system, method, tiny, 3)
    method.merge(system)
    for name, module in system.fused_qkv().items():
        old, new = plain.get_submodule(name).get_parameter("weight"), module.weight
        changed = [not torch.equal(a, b) for a, b in zip(old.chunk(3), new.chunk(3), strict=True)]
        assert changed == [True, False, True]


def test_adaloras_extra_loss_is_the_one_that_peft_adds(tiny: TrainConfig) -> None:
    system, method = build(tiny, "adalora", orthogonality=0.3)
    assert isinstance(method, AdaLora)

    class Output:
        loss = torch.zeros(())

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny.system.build(CLASSES)

        def forward(self) -> Output:
            return Output()

    wrapped = Wrapped()
    names = [f"inner.{name}" for name in wrapped.inner.adaptable("attention")]
    config = method.peft_config(names)
    config.orth_reg_weight = 0.3
    make: Any = AdaLoraModel  # untyped
    reference = make(wrapped, config, "default")
    wrapped.inner.load_state_dict(system.state_dict())
    torch.testing.assert_close(method.extra_loss(system), reference.forward().loss)


def test_adalora_shares_its_budget_out_and_keeps_to_it(tiny: TrainConfig) -> None:
    system, method = build(tiny, "adalora", rank=2, init_rank=4, interval=1, end=0.6)
    optimizer = method.optimizer(system, tiny.optim)
    left = []
    for step in range(1, 11):
        optimizer.zero_grad()
        (
            system.loss(system(batch(), (128, 128)), batch(), FINISHED) + method.extra_loss(system)
        ).backward()
        optimizer.step()
        method.after_step(system, optimizer, step, 10)
        ranks = [int(m.lora_E["default"].count_nonzero()) for m in svd_layers(system).values()]
        left.append(sum(ranks))
    assert left == sorted(left, reverse=True)
    assert left[0] == 4 * len(ranks)
    assert left[5:] == [2 * len(ranks)] * 5
    assert len(set(ranks)) > 1, "some layers keep more than others"


def test_adalora_in_a_training_gets_both_its_calls(tiny: TrainConfig) -> None:
    """`train` has to call the hooks: the loss is higher by the extra one, and ranks fall."""
    schedule = dataclasses.replace(tiny.schedule, epochs=4)
    method = AdaLora(rank=1, init_rank=4, interval=1, start=0.0, end=0.5)
    first = {}
    for weight in (0.0, 1.0):
        config = dataclasses.replace(
            tiny, schedule=schedule, method=dataclasses.replace(method, orthogonality=weight)
        )
        training = Training(config, Runtime())
        extra = torch.as_tensor(config.method.extra_loss(training.system)).item()
        first[weight] = training.advance().steps[0].loss - extra
        training.advance()
        layers = svd_layers(training.system).values()
        assert sum(int(m.lora_E["default"].count_nonzero()) for m in layers) == len(layers)
    assert first[1.0] == pytest.approx(first[0.0], rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"rank": 4, "init_rank": 4}, "must be more than rank"), ({"start": 0.7}, "less than end")],
)
def test_budgets_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaLora(**fields)


def test_more_targets_move_more(tiny: TrainConfig) -> None:
    counts = []
    for targets in ("attention", "attention+mlp"):
        system = tiny.system.build(CLASSES)
        Method.named("srft_galore", targets=targets).adapt(system)
        counts.append(sum(p.numel() for p in system.parameters() if p.requires_grad))
    assert counts[1] > counts[0]


@pytest.mark.parametrize("name", ["sam3", "dinov3"])
def test_queries_and_values_with_a_matrix_each_are_adapted(name: str) -> None:
    """As libraries have SAM3 and DINOv3: rank * (inputs + outputs) for each of the two, and keys
    stay. An adapter stands behind each block's attention and MLP."""
    config = DualEncoderConfig(
        image_size=64, rgb=RgbEncoderConfig.named(name), fusion=FusionConfig(mode="rgb_only")
    )
    torch.manual_seed(0)
    system = config.build(LANDMARKS)
    alone = system.separate_qv()
    assert {path.rpartition(".")[2] for path in alone} == {"q_proj", "v_proj"}
    assert len(alone) == 2 * 4
    assert not system.fused_qkv()
    LoraQv(rank=3).adapt(system)
    moving = [p for e in system.pretrained().values() for p in e.parameters() if p.requires_grad]
    assert sum(p.numel() for p in moving) == 2 * 4 * 3 * (96 + 96)
    for method in (LoraQv(rank=3), LoraQv(rank=3, gate=True), Adapter(behind="attention+mlp")):
        check_method(method, config)

"""Every engine gives what the modules give: outputs, gradients, running statistics."""

import copy
import logging
import time

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_layers import spread_batchnorm
from test_model_mobilenetv3 import MODELS, build
from torch import nn

from raspitrain import cache
from raspitrain.model.engine import kernels, native
from raspitrain.model.engine.channels_last import DepthwiseConv
from raspitrain.model.engine.choose import compute, engine_in_use
from raspitrain.model.engine.rows import Add, Convolution, Dense, Mean
from raspitrain.model.mobilenetv3 import MobileNetV3
from raspitrain.model.tables import VARIANTS, Row, Table
from raspitrain.tuning import engine as tuning
from raspitrain.tuning.engine import measure_engines, settle_engine

ENGINES = ["native", "torch"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Waiting for a second one takes longer than the work, where other programs run too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(rows, *, engine, channels=3, classes=3, stem_stride=2, stem=8, blog=False, dtype=None):
    """A network of a few narrow blocks."""
    torch.manual_seed(0)
    table = Table(stem=stem, rows=tuple(rows), last=16, hidden=8)
    strides = [stem_stride, *(row.stride for row in rows)]
    model = MobileNetV3(
        table,
        strides,
        VARIANTS["blog" if blog else "paper"],
        num_channels=channels,
        num_classes=classes,
        dropout=0.0,
        batchnorm=nn.BatchNorm1d,
        engine=engine,
    )
    return spread_batchnorm(model).to(dtype or torch.float64)


def step(model, signals, targets):
    model.zero_grad()
    logits = model(signals)
    F.cross_entropy(logits, targets).backward()
    return logits


def relative_error(ours, theirs, scale):
    return ((ours - theirs).norm() / scale).item()


def assert_same_step(ours, theirs, signals, tolerance):
    """One training step and then an evaluation agree, relative to the size of what is compared.

    Gradients that are nothing but rounding (of a bias that a BatchNorm takes away again) are held
    to the scale of all gradients together.
    """
    targets = torch.arange(len(signals)) % ours.num_classes
    logits, expected = step(ours, signals, targets), step(theirs, signals, targets)
    assert relative_error(logits, expected, expected.norm()) < tolerance
    grads = [p.grad for p in theirs.parameters()]
    total = torch.stack([g.norm() for g in grads if g is not None]).norm()
    for (name, mine), other in zip(ours.named_parameters(), grads, strict=True):
        if other is None:
            assert mine.grad is None, name
        else:
            floor = 1e-1 if name.endswith("bias") else 1e-3
            scale = torch.maximum(other.norm(), floor * total)
            assert relative_error(mine.grad, other, scale) < tolerance, name
    for (name, mine), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance, msg=name)
    with torch.no_grad():
        logits, expected = ours.eval()(signals), theirs.eval()(signals)
    assert relative_error(logits, expected, expected.norm()) < tolerance


def assert_engine_agrees(engine, model, signals, tolerance):
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    ours.engine, theirs.engine = engine, "plain"
    assert_same_step(ours.train(), theirs.train(), signals, tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", MODELS)
def test_whole_networks_agree_to_rounding(name, engine):
    model = build(name, length=24, dropout=0.0, num_classes=3).double()
    torch.manual_seed(1)
    signals = torch.randn(4, 3, 24, dtype=torch.float64)
    assert_engine_agrees(engine, spread_batchnorm(model), signals, 1e-9)


rows = st.builds(
    Row,
    kernel=st.sampled_from([3, 5]),
    expanded=st.sampled_from([8, 16, 24, 40, 72]),
    out=st.sampled_from([8, 16, 24]),
    squeeze_excite=st.booleans(),
    activation=st.sampled_from(["RE", "HS"]),
    stride=st.sampled_from([1, 2]),
)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=25)
@given(
    rows=st.lists(rows, min_size=1, max_size=3),
    blog=st.booleans(),
    channels=st.integers(1, 9),
    length=st.integers(8, 60),
    cases=st.integers(1, 20),
    stem_stride=st.sampled_from([1, 2]),
    stem=st.sampled_from([8, 16, 24]),
)
def test_any_blocks_lengths_and_batches_agree(
    engine, rows, blog, channels, length, cases, stem_stride, stem
):
    model = tiny(
        rows, engine=engine, channels=channels, stem=stem, stem_stride=stem_stride, blog=blog
    )
    signals = torch.randn(cases, channels, length, dtype=torch.float64)
    assert_engine_agrees(engine, model, signals, 1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("blog", [False, True])
@pytest.mark.parametrize(("cases", "length"), [(50, 224), (3, 2500), (128, 9)])
def test_single_precision_agrees(engine, blog, cases, length):
    rows = [Row(3, 72, 24, False, "RE", 2), Row(5, 96, 24, True, "HS", 1)]
    model = tiny(rows, engine=engine, stem=16, blog=blog, dtype=torch.float32)
    assert_engine_agrees(engine, model, torch.randn(cases, 3, length), 1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_large_offsets_cost_no_more_digits_than_in_plain_torch(engine):
    rows = [Row(3, 16, 16, False, "RE", 1)]
    exact = tiny(rows, engine="plain")
    signals = torch.randn(16, 3, 64) + 1000
    with torch.no_grad():
        expected = exact(signals.double())
        errors = {}
        for name in (engine, "plain"):
            single = copy.deepcopy(exact).float().train()
            single.engine = name
            errors[name] = (single(signals) - expected).abs().max().item()
    assert errors[engine] < 10 * errors["plain"] + 1e-5


@pytest.mark.parametrize("blog", [False, True])
def test_gradcheck_of_the_native_engine(blog):
    rows = [Row(3, 8, 8, True, "RE", 1), Row(5, 16, 8, False, "HS", 2)]
    model = tiny(rows, engine="native", channels=1, blog=blog).double()
    signals = torch.randn(3, 1, 9, dtype=torch.float64)
    used = {n: p for n, p in model.named_parameters() if "classifier" not in n and "n_hid" not in n}

    def hidden(*parameters):
        return torch.func.functional_call(
            _Hidden(model),
            {f"model.{n}": p for n, p in zip(used, parameters, strict=True)},
            signals,
        )

    values = tuple(p.detach().clone().requires_grad_() for p in used.values())
    assert torch.autograd.gradcheck(hidden, values, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=True)


class _Hidden(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, signals):
        return native.features(self.model, signals)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradcheck_of_the_depthwise_convolution(kernel, stride):
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, kernel, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, w: DepthwiseConv.apply(a, w, stride), (x, weight))


def test_native_numbers_do_not_depend_on_threads_or_run():
    rows = [Row(3, 72, 24, True, "RE", 2), Row(5, 96, 24, True, "HS", 1)]
    signals, targets = torch.randn(33, 3, 100), torch.arange(33) % 3
    results = []
    for num_threads in (1, 1, 2, 3):
        torch.set_num_threads(num_threads)
        model = tiny(rows, engine="native", stem=16, dtype=torch.float32)
        step(model, signals, targets)
        results.append([*(p.grad for p in model.parameters()), *model.buffers()])
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_native_gradients_add_up_and_two_forwards_may_wait_for_their_backward():
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="native")
    first, second = (torch.randn(n, 3, 32, dtype=torch.float64) for n in (4, 6))
    expected = []
    for signals in (first, second):
        model.zero_grad()
        model(signals).sum().backward()
        expected.append(model.conv_stem.weight.grad.clone())
    model.zero_grad()
    outputs = [model(first), model(second)]
    outputs[0].sum().backward()
    assert torch.allclose(model.conv_stem.weight.grad, expected[0], rtol=1e-9)
    outputs[1].sum().backward()
    assert torch.allclose(model.conv_stem.weight.grad, expected[0] + expected[1], rtol=1e-9)


def test_native_backward_on_memory_that_was_reused_is_refused():
    model = tiny([Row(3, 16, 8, False, "HS", 2)], engine="native")
    signals = torch.randn(4, 3, 32, dtype=torch.float64)
    loss = model(signals).sum()
    loss.backward(retain_graph=True)
    model(signals).sum().backward()
    with pytest.raises(RuntimeError, match="engine='plain'"):
        loss.backward()


def test_native_notices_weights_that_changed_before_backward():
    model = tiny([Row(3, 16, 8, False, "HS", 2)], engine="native")
    loss = model(torch.randn(4, 3, 32, dtype=torch.float64)).sum()
    with torch.no_grad():
        model.conv_stem.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_evaluation_follows_further_training():
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="native")
    signals = torch.randn(70, 3, 32, dtype=torch.float64)
    for _ in range(2):
        step(model.train(), signals, torch.arange(70) % 3)
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        model.eval()
        plain = copy.deepcopy(model)
        plain.engine = "plain"
        with torch.inference_mode():
            torch.testing.assert_close(model(signals), plain(signals), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_not_a_number_is_not_hidden(engine):
    model = tiny([Row(3, 16, 8, False, "RE", 2)], engine=engine, dtype=torch.float32)
    signals = torch.randn(4, 3, 32)
    signals[1, 0, 5] = float("nan")
    assert model(signals).isnan().any()


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.eval(),
        lambda model: model.bn_head.eval(),
        lambda model: model.bfloat16(),
        lambda model: model.conv_head.register_forward_hook(lambda *_: None),
    ],
    ids=["gradients in eval mode", "one frozen BatchNorm", "bfloat16", "a hook on a part"],
)
def test_what_the_kernels_do_not_cover_runs_as_modules(change):
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="native", dtype=torch.float32)
    plain = copy.deepcopy(model)
    plain.engine = "plain"
    signals = torch.randn(4, 3, 32)
    for each in (model, plain):
        change(each)
    dtype = next(model.parameters()).dtype
    assert torch.equal(model(signals.to(dtype)), plain(signals.to(dtype)))


def test_gradients_of_the_signals_are_there():
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="native")
    signals = torch.randn(4, 3, 32, dtype=torch.float64, requires_grad=True)
    model(signals).sum().backward()
    assert signals.grad.abs().sum() > 0


def test_frozen_parameters_get_no_gradient():
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="native")
    model.conv_stem.requires_grad_(False)
    step(model, torch.randn(4, 3, 32, dtype=torch.float64), torch.arange(4) % 3)
    assert model.conv_stem.weight.grad is None
    assert model.bn_stem.weight.grad is not None


@pytest.fixture
def nothing_measured(monkeypatch, tmp_path):
    """What was measured before is not known; the compiled kernels stay where they are."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)


@pytest.fixture
def fresh_choice(monkeypatch, tmp_path):
    """No kernels loaded, no choice made, an empty cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = [kernels.load_library, kernels.compiled_library]
    for each in cached:
        each.cache_clear()
    yield tmp_path
    for each in cached:
        each.cache_clear()


@pytest.mark.parametrize("missing", ["compiler", "folder"])
def test_training_goes_on_without_kernels(missing, fresh_choice, monkeypatch, caplog):
    if missing == "compiler":
        monkeypatch.setenv("CC", "no-such-compiler")
    else:
        (fresh_choice / "raspitrain").write_text("in the way")
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            step(model, torch.randn(4, 3, 32), torch.arange(4) % 3)
    assert [r.message for r in caplog.records if "No compiled kernels" in r.message] == [
        r.message for r in caplog.records
    ]
    assert len(caplog.records) == 1


def test_kernels_are_compiled_once_into_a_private_folder(fresh_choice, monkeypatch, caplog):
    compiler = fresh_choice / "quick"
    compiler.write_text('#!/bin/sh\nexec cc "$@" -O0\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    caplog.set_level(logging.INFO)
    assert kernels.load_kernels(torch.float32) is not None
    folder = fresh_choice / "raspitrain"
    assert folder.stat().st_mode & 0o777 == 0o700
    kernels.load_library.cache_clear()
    kernels.compiled_library.cache_clear()
    assert kernels.load_kernels(torch.float32) is not None
    assert len([r for r in caplog.records if "Compiling" in r.message]) == 1

    for _ in range(2):
        model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
        settle_engine(model, torch.randn(4, 3, 32))
        assert model.engine in ("native", "torch")
    assert len(list((folder / "engine").iterdir())) == 1
    assert len([r for r in caplog.records if "Engine" in r.message]) == 1
    other = tiny([Row(3, 24, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    settle_engine(other, torch.randn(4, 3, 32))
    assert len(list((folder / "engine").iterdir())) == 2


def test_a_library_that_cannot_be_loaded_is_not_kept(fresh_choice, monkeypatch, caplog):
    monkeypatch.setattr(kernels, "SOURCE", fresh_choice / "kernels.c")
    kernels.SOURCE.write_text("int answer(void) { return 42; }")  # ours take four seconds
    (fresh_choice / "more.c").write_text("void nowhere(void); void more(void) { nowhere(); }")
    compiler = fresh_choice / "own"
    compiler.write_text(f'#!/bin/sh\nexec cc "$@" -O0 {fresh_choice}/more.c\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert kernels.load_kernels(torch.float32) is None
    assert f"(leave out CC={compiler}, " in caplog.text
    assert "cannot be loaded: undefined symbol: nowhere" in caplog.text
    assert not list((fresh_choice / "raspitrain").glob("*.so"))
    monkeypatch.delenv("CC")
    kernels.load_library.cache_clear()
    kernels.compiled_library.cache_clear()
    assert kernels.load_kernels(torch.float32) is not None


def test_kernels_from_a_folder_that_others_may_write_are_not_loaded(fresh_choice, caplog):
    folder = fresh_choice / "raspitrain"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert kernels.load_kernels(torch.float32) is None
    assert "chmod 700" in caplog.text


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_engines_are_measured_where_no_gradients_are_kept(mode):
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    with mode():
        seconds = measure_engines(model, torch.randn(4, 3, 32))
    assert seconds.keys() == {"native", "torch"}
    assert min(seconds.values()) > 0


@pytest.mark.parametrize(
    ("native", "torch_", "taken"), [(1.0, 1.0, "native"), (1.1, 1.0, "native"), (1.3, 1.0, "torch")]
)
def test_where_engines_are_as_fast_chance_does_not_choose(
    nothing_measured, monkeypatch, native, torch_, taken
):
    monkeypatch.setattr(tuning, "measure_engines", lambda *_: {"native": native, "torch": torch_})
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    tuning.settle_engine(model, torch.randn(4, 3, 32))
    assert model.engine == taken


def test_one_number_of_threads_has_the_engine_of_another(nothing_measured, monkeypatch):
    """Or the same seed would give other weights: engines agree to rounding only."""
    figures = iter([{"native": 2.0, "torch": 1.0}, {"native": 1.0, "torch": 2.0}])
    monkeypatch.setattr(tuning, "measure_engines", lambda *_: next(figures))
    before = torch.get_num_threads()
    engines = []
    try:
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
            tuning.settle_engine(model, torch.randn(4, 3, 32))
            engines.append(model.engine)
    finally:
        torch.set_num_threads(before)
    assert engines == ["torch", "torch"]


def test_measuring_engines_leaves_no_trace():
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    measure_engines(model.eval(), torch.randn(4, 3, 32, generator=torch.Generator()))
    assert torch.equal(torch.rand(3), expected)
    assert not model.training
    assert model.engine == "auto"
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_the_faster_engine_is_taken_and_told(nothing_measured, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for figures, faster in (({"native": 2.0, "torch": 1.0}, "torch"), ({}, "torch")):
        monkeypatch.setattr(tuning, "measure_engines", lambda *_, figures=figures: figures)
        model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
        tuning.settle_engine(model, torch.randn(4, 3, 32))
        assert model.engine == faster  # the second time from the cache
    assert "Engine torch: a step takes 2000.0 (native) and 1000.0 (torch) ms" in caplog.text


def test_a_machine_that_stalls_once_decides_no_engine(monkeypatch):
    """The answer is kept for good: training would be slow until the cache is cleared."""
    stalls = iter([0.2])  # so long a step is a turn of its own

    def stall(network, signals):
        if network.engine == "native":
            time.sleep(next(stalls, 0))
        return compute(network, signals)

    monkeypatch.setattr(tuning, "compute", stall)
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    seconds = measure_engines(model, torch.randn(4, 3, 32))
    assert next(stalls, None) is None
    assert seconds["native"] < 0.1


class UsersNetwork(nn.Module):
    """A residual network that says what it is made of; the kernels do not know such rows yet."""

    def __init__(self, engine):
        super().__init__()
        self.engine = engine
        self.first = nn.Conv1d(3, 8, 7, stride=2, padding=3)
        self.conv = nn.Conv1d(8, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(16)
        self.dilated = nn.Conv1d(16, 16, 3, padding=2, dilation=2, groups=4)
        self.depthwise = nn.Conv1d(16, 16, 5, padding=2, groups=16)
        self.shortcut = nn.Conv1d(8, 16, 1)
        self.classifier = nn.Linear(16, 3)

    def rows(self):
        return [
            Convolution(self.first, activation="relu"),
            Convolution(self.conv, self.norm, "relu6"),
            Convolution(self.dilated),
            Convolution(self.depthwise),
            Convolution(self.shortcut, source=1),
            Add(4, "relu"),
            Mean(),
            Dense(self.classifier),
        ]

    def forward(self, x):
        logits = compute(self, x)
        if logits is not None:
            return logits
        x = self.first(x).relu()
        y = self.depthwise(self.dilated(F.relu6(self.norm(self.conv(x)))))
        return self.classifier((y + self.shortcut(x)).relu().mean(dim=2))


def test_a_network_of_the_users_is_computed_by_its_rows():
    torch.manual_seed(0)
    plain = UsersNetwork("plain").double()
    ours = copy.deepcopy(plain)
    ours.engine = "torch"
    signals = torch.randn(5, 3, 33, dtype=torch.float64)
    logits, expected = (step(model, signals, torch.arange(5) % 3) for model in (ours, plain))
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-12)
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_the_engine_takes_what_it_knows_and_leaves_the_rest_to_torch():
    assert engine_in_use(tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto")) == "native"
    users = UsersNetwork("auto").float()
    assert engine_in_use(users) == "plain"
    settle_engine(users, torch.randn(4, 3, 32))
    signals = torch.randn(4, 3, 32)
    plain = copy.deepcopy(users)
    plain.engine = "plain"
    assert torch.equal(users(signals), plain(signals))
    assert engine_in_use(nn.Sequential(nn.Flatten(), nn.Linear(96, 3))) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.blocks[0], "conv_dw", nn.Conv1d(16, 16, 7, 1, 3, groups=16)),
        lambda model: setattr(model.blocks[0].bn_dw, "eps", 0.1),
        lambda model: setattr(model.blocks[0].bn_dw, "momentum", None),
        lambda model: setattr(model, "conv_head", nn.Conv1d(8, 20, 1)),
        lambda model: nn.utils.parametrizations.weight_norm(model.conv_head),
        lambda model: setattr(model.conv_stem, "padding_mode", "circular"),
        lambda model: setattr(model.blocks[0].conv_dw, "dilation", (2,)),
    ],
    ids=[
        "seven taps", "another eps", "no momentum", "a width of 20", "another weight", "circular",
        "dilation",
    ],
)  # fmt: skip
def test_rows_that_the_kernels_would_compute_wrongly_are_not_theirs(change):
    model = tiny([Row(3, 16, 8, True, "HS", 2)], engine="auto", dtype=torch.float32)
    change(model)
    assert native.plan_of(model) is None
    assert engine_in_use(model) == "plain"

"""MiniRocket, MultiRocket and Hydra: the numbers of aeon's transforms, from kernels of ours."""

import numpy as np
import pytest
import torch
from aeon.transformations.collection.convolution_based import _hydra as aeon_hydra
from aeon.transformations.collection.convolution_based import _minirocket as aeon_mini
from aeon.transformations.collection.convolution_based import _multirocket as aeon_multi
from hypothesis import given, settings
from hypothesis import strategies as st

from raspitrain.errors import InputError
from raspitrain.model.rocket import native, plain
from raspitrain.model.rocket.classifier import Standardise, StandardiseSparse
from raspitrain.model.rocket.dilations import draw_channels, fit_dilations
from raspitrain.model.rocket.minirocket import MiniRocket, minirocket
from raspitrain.model.rocket.multirocket_hydra import Hydra, MultiRocket, multirocket_hydra

INDICES = aeon_mini.MiniRocket._indices
SMALL = {"num_features": 420, "max_dilations": 4}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Waiting for a second one takes longer than the work, where other programs run too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def whole_signals(num_cases, num_channels, length, seed=0):
    """Signals of small whole numbers: no sum of theirs is ever rounded, in whatever order."""
    rng = np.random.default_rng(seed)
    signals = rng.integers(-8, 9, (num_cases, num_channels, length))
    return torch.from_numpy(signals.astype(np.float32))


def fit(transform, signals, seed=0):
    transform.fit(lambda cases: signals[cases], len(signals), torch.Generator().manual_seed(seed))
    return transform


def as_aeon(transform):
    """Our dilations, channels and biases in the tuple that aeon's functions take."""
    channels = transform.channels.numpy().astype(bool)
    return (
        channels.sum(1).astype(np.int32),
        np.concatenate([np.flatnonzero(row) for row in channels]).astype(np.int32),
        transform.dilations.numpy().astype(np.int32),
        transform.per_dilation.numpy().astype(np.int32),
        transform.biases.numpy(),
    )


shapes = st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(9, 120))


@given(shape=shapes, seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_minirocket_gives_what_aeons_gives(shape, seed):
    torch.manual_seed(seed)
    signals = whole_signals(*shape, seed)
    ours = fit(MiniRocket(*shape[1:], **SMALL), signals, seed)
    if shape[1] == 1:
        transform, given = aeon_mini._static_transform_uni.py_func, signals[:, 0].numpy()
    else:
        transform, given = aeon_mini._static_transform_multi.py_func, signals.numpy()
    theirs = transform(given, as_aeon(ours), INDICES)
    np.testing.assert_array_equal(ours(signals).numpy(), theirs)


@pytest.mark.parametrize("shape", [(2, 1, 10), (2, 1, 33), (1, 5, 40), (1, 2, 97)])
def test_multirocket_gives_what_aeons_gives(shape):
    torch.manual_seed(0)
    signals = whole_signals(*shape)
    ours = MultiRocket(*shape[1:], num_features=1344, max_dilations=2)
    if shape[1] > 1:
        # aeon's program looks up the channels of the signals when it is at the differences.
        ours.difference.channels.copy_(ours.base.channels)
    fit(ours, signals)
    both = [as_aeon(ours.base), as_aeon(ours.difference)]
    if shape[1] == 1:
        transform, given = aeon_multi._transform_uni.py_func, signals[:, 0].numpy()
        both = [parameters[2:] for parameters in both]
    else:
        transform, given = aeon_multi._transform_multi.py_func, signals.numpy()
    theirs = transform(given, np.diff(given), *both, 4, INDICES, None)
    # The mean response is a quotient, which is rounded at another place.
    np.testing.assert_allclose(ours(signals).numpy(), theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("shape", [(3, 1, 10), (2, 1, 130), (3, 2, 50), (2, 9, 64)])
def test_hydra_gives_what_aeons_gives(shape):
    torch.manual_seed(0)
    ours = Hydra(*shape[1:], num_groups=8)
    theirs = aeon_hydra._HydraInternal(shape[2], shape[1], k=8, g=8)
    torch.testing.assert_close(theirs.dilations, ours.dilations)
    theirs.W = ours.weights.unflatten(2, (32, 1))
    theirs.idx = list(ours.channels)
    signals = torch.randn(shape)
    torch.testing.assert_close(ours(signals), theirs(signals), rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("shape", [(6, 1, 150), (6, 1, 1999), (4, 6, 100), (4, 30, 300)])
def test_full_size_transforms_give_what_aeons_give(shape):
    """Compiled by numba, whose sums come in an order of their own."""
    torch.manual_seed(0)
    signals = torch.randn(shape)
    mini = fit(MiniRocket(*shape[1:], num_features=10_000, max_dilations=32), signals)
    theirs = aeon_mini.MiniRocket(random_state=0).fit(signals.numpy())
    theirs.parameters = as_aeon(mini)
    differ = mini(signals).numpy() != theirs.transform(signals.numpy())
    assert differ.mean() < 1e-4  # a response that is a bias, to rounding
    multi = MultiRocket(*shape[1:], num_features=50_000, max_dilations=32)
    multi.difference.channels[: len(multi.base.channels)] = multi.base.channels[
        : len(multi.difference.channels)
    ]
    fit(multi, signals)
    theirs = aeon_multi.MultiRocket(random_state=0).fit(signals.numpy())
    skip = 2 if shape[1] == 1 else 0
    theirs.parameter = as_aeon(multi.base)[skip:]
    theirs.parameter1 = as_aeon(multi.difference)[skip:]
    expected = theirs.transform(signals.numpy())
    close = np.isclose(multi(signals).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert (~close).mean() < 1e-4


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(10, 2000)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_compiled_transforms_give_what_the_plain_ones_give(shape, dtype, seed):
    torch.manual_seed(seed)
    signals = whole_signals(*shape, seed).to(dtype)
    mini = fit(MiniRocket(*shape[1:], **SMALL).to(dtype), signals)
    assert native.can_run(signals)
    given = (signals, mini.dilations, mini.per_dilation, mini.channels, mini.biases)
    expected = plain.minirocket(*given)
    assert expected.dtype == dtype
    torch.testing.assert_close(native.minirocket(*given), expected, rtol=0, atol=0)

    side = fit(MultiRocket(*shape[1:], num_features=1344, max_dilations=2).to(dtype), signals)
    for part, x in ((side.base, signals), (side.difference, signals.diff())):
        given = (x.contiguous(), part.dilations, part.per_dilation, part.channels, part.biases)
        expected = plain.multirocket(*given, delay=part.delay)
        ours = native.multirocket(*given, delay=part.delay)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)

    hydra = Hydra(*shape[1:], num_groups=4).to(dtype)
    # Signals of whole numbers have many equals, which rounding decides.
    x = torch.randn(shape, dtype=dtype)
    given = (
        x,
        hydra.dilations,
        hydra.weights[:, 0].contiguous(),
        hydra.channels[:, 0].contiguous(),
    )
    torch.testing.assert_close(native.hydra(*given), plain.hydra(*given), rtol=1e-4, atol=1e-4)


def test_hydra_gives_equal_answers_to_the_first_kernel():
    """Where a signal is zero all answers are."""
    hydra = Hydra(1, 32, num_groups=2)
    side = (hydra.weights[:, 0].contiguous(), hydra.channels[:, 0].contiguous())
    signals = torch.zeros(1, 1, 32)
    for compute in (native.hydra, plain.hydra):
        counts = compute(signals, hydra.dilations, *side)[0, :, 1]
        assert counts[:, 0].tolist() == [32.0, 32.0]
        assert not counts[:, 1:].any()


@given(length=st.integers(9, 5000), num_features=st.sampled_from([84, 420, 6250, 10_000]))
@settings(max_examples=60)
def test_dilations_are_aeons(length, num_features):
    ours, theirs = (
        fit_dilations(length, num_features, 32),
        aeon_mini._fit_dilations(length, num_features, 32),
    )
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_biases_are_quantiles_of_a_training_cases_responses():
    signals = whole_signals(1, 1, 57)
    model = fit(MiniRocket(1, 57, **SMALL), signals)
    count = len(INDICES) * int(model.per_dilation[0])
    repeated = signals.expand(len(INDICES), 1, 57)
    rows = plain.responses(repeated, model.dilations[:1], model.channels[:84], delay=0).numpy()
    quantiles = aeon_mini._quantiles(count).reshape(len(INDICES), -1)
    expected = [np.quantile(row, at) for row, at in zip(rows, quantiles, strict=True)]
    np.testing.assert_allclose(model.biases[:count], np.concatenate(expected), rtol=1e-5, atol=1e-5)


def test_channels_are_few_and_each_is_drawn():
    torch.manual_seed(0)
    channels = draw_channels(2000, 20).long()
    how_many = channels.sum(1)
    assert (how_many.min(), how_many.max()) == (1, 9)
    shares = torch.bincount(how_many)[1:] / 2000
    expected = torch.log2(torch.arange(2.0, 11) / torch.arange(1.0, 10)) / np.log2(10)
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.04)
    torch.testing.assert_close(channels.float().mean(0) * 20 / how_many.float().mean(),
                               torch.ones(20), rtol=0, atol=0.2)  # fmt: skip


def test_scalings_are_scikit_learns_and_aeons():
    from aeon.classification.convolution_based._hydra import _SparseScaler
    from sklearn.preprocessing import StandardScaler

    torch.manual_seed(0)
    features = torch.randn(50, 30) * 3 + 5
    features[:, 4] = 0.7  # of no use to anybody
    ours = Standardise(30)
    ours.fit(features)
    theirs = StandardScaler().fit_transform(features.numpy())
    np.testing.assert_allclose(ours(features), theirs, rtol=1e-4, atol=1e-5)

    scores = (torch.randn(50, 30) - 0.5).clamp(min=0) * 9
    scores[:, 3] = 0
    sparse = StandardiseSparse(30)
    sparse.fit(scores)
    torch.testing.assert_close(sparse(scores), _SparseScaler().fit_transform(scores))
    for scaling, values in ((ours, features), (sparse, scores)):
        expected = scaling(values)
        scaling.apply_(values)
        torch.testing.assert_close(values, expected)


def tiny(name, num_channels=2, length=40, num_classes=3, **keys):
    facts = {"num_channels": num_channels, "num_classes": num_classes, "length": length}
    if name == "minirocket":
        return minirocket(**facts, **SMALL, max_ridge_cases=100, **keys)
    return multirocket_hydra(
        **facts, num_features=1344, max_dilations=4, num_groups=4, max_ridge_cases=100, **keys
    )


def made_cases(num_cases=40, num_channels=2, length=40, num_classes=3, seed=0):
    """Bumps of a width for each class, in noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_cases) % num_classes
    centres = torch.randint(10, length - 10, (num_cases, 1, 1), generator=generator)
    places = torch.arange(length) - centres
    bumps = torch.exp(-places.square() / (2.0 * (1 + labels[:, None, None]) ** 2))
    noise = torch.randn(num_cases, num_channels, length, generator=generator)
    return 2 * bumps + 0.1 * noise, labels


MODELS = ["minirocket", "multirocket_hydra"]


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_learns_and_is_repeated_to_the_bit_by_its_seed(name):
    signals, labels = made_cases()
    fitted = []
    for seed, num_threads in ((0, 1), (0, 3), (1, 1)):
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        torch.manual_seed(seed)
        model = tiny(name)
        left_out = model.fit(
            lambda cases: signals[cases], labels, torch.Generator().manual_seed(seed)
        )
        fitted.append((model.state_dict(), model(signals)))
        torch.set_num_threads(before)
        assert (left_out.argmax(1) == labels).float().mean() > 0.9
    test_signals, test_labels = made_cases(seed=1)
    assert (model(test_signals).argmax(1) == test_labels).float().mean() > 0.9
    features = [
        torch.cat([v.flatten().double() for k, v in state.items() if not k.startswith("head")])
        for state, _ in fitted
    ]
    # No sum of a transform is parted between threads; those of the products of matrices may be.
    assert torch.equal(features[0], features[1])
    torch.testing.assert_close(fitted[0][1], fitted[1][1], rtol=1e-4, atol=1e-4)
    assert not torch.equal(features[0], features[2])


@pytest.mark.parametrize("name", MODELS)
def test_weights_make_another_model_the_same(name):
    signals, labels = made_cases()
    model = tiny(name)
    model.fit(lambda cases: signals[cases], labels, torch.Generator())
    other = tiny(name)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(signals), model(signals))


@pytest.mark.parametrize("name", MODELS)
def test_without_a_compiler_the_plain_transforms_take_over(name, monkeypatch):
    signals, labels = made_cases()
    torch.manual_seed(0)
    compiled = tiny(name)
    compiled.fit(lambda cases: signals[cases], labels, torch.Generator().manual_seed(0))
    monkeypatch.setattr(native, "load_library", lambda source, dtype: None)
    torch.manual_seed(0)
    model = tiny(name)
    model.fit(lambda cases: signals[cases], labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(signals), compiled(signals), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_head_is_trained_by_gradients_where_there_are_many_cases(name):
    signals, labels = made_cases(num_cases=120)
    model = tiny(name)
    assert model.has_closed_form(100)
    assert not model.has_closed_form(101)
    model.fit_features(lambda cases: signals[cases], len(signals), torch.Generator())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(signals), labels).backward()
        optimizer.step()
    assert (model(signals).argmax(1) == labels).float().mean() > 0.95


@pytest.mark.parametrize(
    ("name", "facts", "keys", "says"),
    [
        ("minirocket", {"length": 8}, {}, "signals of length 8 are too short for this model: it "
         "takes 9 positions or more"),
        ("multirocket_hydra", {"length": 9}, {}, "it takes 10 positions or more"),
        ("minirocket", {}, {"num_features": 83}, "model.num_features=83 must be at least 84"),
        ("multirocket_hydra", {}, {"num_features": 600}, "must be at least 672"),
        ("minirocket", {}, {"max_dilations": 0}, "model.max_dilations=0 must be at least 1"),
        ("multirocket_hydra", {}, {"num_groups": 7}, "model.num_groups=7 must be an even number"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_said(name, facts, keys, says):
    make = {"minirocket": minirocket, "multirocket_hydra": multirocket_hydra}[name]
    facts = {"num_channels": 1, "num_classes": 2, "length": 50} | facts
    given = {"num_features": 10_000, "max_dilations": 32, "max_ridge_cases": 10}
    if name == "multirocket_hydra":
        given["num_groups"] = 4
    with pytest.raises(InputError, match=says):
        make(**facts, **given | keys)

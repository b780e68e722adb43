"""Batches: their sizes, their order, and the same signals from memory and from a file."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raspitrain.data.batches import batch_indices, choose_in_memory, load_part
from raspitrain.data.cases import make_cases
from raspitrain.data.files.npy_file import StoredSignals
from raspitrain.data.normalise import fit_normalisation
from raspitrain.errors import InputError


@given(num_cases=st.integers(0, 300), batch_size=st.integers(1, 64), shuffled=st.booleans())
def test_an_epoch_is_every_case_once_in_near_equal_parts(num_cases, batch_size, shuffled):
    generator = torch.Generator().manual_seed(0) if shuffled else None
    parts = batch_indices(num_cases, batch_size, generator=generator)
    sizes = [len(part) for part in parts]
    assert len(parts) == -(-num_cases // batch_size)
    assert max(sizes, default=0) <= batch_size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    joined = torch.cat(parts).tolist() if parts else []
    assert sorted(joined) == list(range(num_cases))
    assert shuffled or joined == sorted(joined)


def test_the_generator_decides_the_order_and_moves_on():
    generator = torch.Generator().manual_seed(3)
    first = torch.cat(batch_indices(50, 8, generator=generator))
    second = torch.cat(batch_indices(50, 8, generator=generator))
    again = torch.cat(batch_indices(50, 8, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">i2"])
def test_a_part_is_the_same_from_memory_and_from_a_file(dtype, tmp_path):
    signals = (np.random.default_rng(0).normal(3, 50, (30, 2, 16))).astype(dtype)
    np.save(tmp_path / "data.npy", signals)
    labels = np.arange(30) % 3
    indices = np.array([29, 3, 5, 6, 7, 20, 0])
    gathered = []
    for source in (signals, StoredSignals(tmp_path / "data.npy")):
        cases = make_cases(source, labels, source="test", missing="error")
        normalisation = fit_normalisation(cases.signals, indices)
        for in_memory in (True, False):
            part = load_part(cases, indices, normalisation, in_memory=in_memory)
            assert len(part) == 7
            gathered.append(part.gather(torch.tensor([6, 0, 0, 3])))
    expected = (signals[indices].astype(np.float64) - signals[indices].mean((0, 2))[:, None]) / (
        signals[indices].std((0, 2))[:, None]
    )
    for batch, batch_labels in gathered:
        assert batch.dtype == torch.float32
        assert torch.equal(batch, gathered[0][0])
        np.testing.assert_allclose(batch.numpy(), expected[[6, 0, 0, 3]], atol=1e-4)
        assert batch_labels.tolist() == labels[indices[[6, 0, 0, 3]]].tolist()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_batch_may_be_changed_without_changing_the_data(in_memory):
    signals = np.random.default_rng(0).normal(0, 1, (6, 1, 8)).astype(np.float32)
    cases = make_cases(signals.copy(), np.arange(6) % 2, source="test", missing="error")
    normalisation = fit_normalisation(signals, np.arange(6))
    part = load_part(cases, np.arange(6), normalisation, in_memory=in_memory)
    every = torch.arange(6)
    before = part.gather(every)[0].clone()
    part.gather(every)[0].zero_()
    assert torch.equal(part.gather(every)[0], before)


def test_data_goes_into_memory_where_it_fits_unless_the_user_decides():
    cases = make_cases(
        np.zeros((10, 1, 100), np.int16), np.arange(10) % 2, source="test", missing="error"
    )
    taken = 4 * 10 * 100  # as float32
    for free, fits in ((10 * taken, True), (taken, False)):
        assert choose_in_memory(cases, "auto", shape=(1, 100), free=free) is fits
        assert choose_in_memory(cases, True, shape=(1, 100), free=free) is True
        assert choose_in_memory(cases, False, shape=(1, 100), free=free) is False
    with pytest.raises(InputError, match="leave in_memory=auto"):
        choose_in_memory(cases, True, shape=(1, 100), free=taken - 1)
    with pytest.raises(InputError, match="auto, true, false"):
        choose_in_memory(cases, "yes", shape=(1, 100), free=taken)

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet.dataset import SpectraStream, open_dataset
from starnet.errors import ConfigError, DataError, LabelError
from starnet.spectra import LabelScale


def rows_of(batches) -> list[int]:
    """The flux of a made-up spectrum is the number of its row."""
    return [int(row) for batch in batches for row in batch.inputs[:, 0, 0]]


@pytest.fixture
def data(make_dataset):
    return open_dataset(make_dataset(300, chunk=16))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.sets(st.integers(0, 299), min_size=1).map(sorted),
    size=st.integers(1, 70),
    buffer=st.integers(1, 400),
    shuffle=st.booleans(),
    workers=st.integers(0, 2),
)
def test_each_row_comes_once_an_epoch_in_full_batches(data, rows, size, buffer, shuffle, workers):
    stream = SpectraStream(data, rows, shuffle=shuffle, buffer=buffer, workers=workers)
    batches = list(stream.batches(size, seed=3, epoch=1))
    found = rows_of(batches)
    assert sorted(found) == rows
    assert all(len(batch.inputs) == size for batch in batches[:-1])
    assert all(np.array_equal(b.targets[:, 0], b.inputs[:, 0, 0] + 4000) for b in batches)
    if not shuffle:
        assert found == rows


def test_seed_and_epoch_decide_the_order_and_nothing_else(data):
    def order(workers=1, **kw):
        return rows_of(SpectraStream(data, workers=workers, buffer=60).batches(32, **kw))

    first = order(seed=1, epoch=0)
    assert first == order(seed=1, epoch=0) == order(0, seed=1) == order(4, seed=1)
    assert len({tuple(first), tuple(order(seed=1, epoch=1)), tuple(order(seed=2))}) == 3


def test_a_small_buffer_still_mixes_chunks(data):
    found = rows_of(SpectraStream(data, buffer=64).batches(32, seed=1))
    assert all(len({row // 16 for row in found[i : i + 32]}) > 2 for i in range(0, 256, 32))
    steps = [b - a for a, b in pairwise(found)]
    assert sum(step == 1 for step in steps) < 40  # 280 in the order of the file


def test_random_transforms_are_the_same_whatever_the_threads_and_batches(data):
    def noisy(spectra, rng):
        return spectra.replace(flux=spectra.flux + rng.standard_normal(spectra.flux.shape))

    def epoch(workers, size):
        stream = SpectraStream(data, transform=noisy, workers=workers, shuffle=False)
        return np.concatenate([b.inputs for b in stream.batches(size, seed=5, epoch=2)])

    first = epoch(0, 32)
    assert np.array_equal(first, epoch(3, 32))
    assert np.array_equal(first, epoch(1, 47))
    assert 0.9 < np.std(first[:, 0] - np.arange(300)[:, None]) < 1.1


def test_transforms_may_change_the_pixels_and_get_the_metadata(data):
    def halve(spectra, rng):
        assert np.allclose(np.asarray(spectra.meta["rv"]), 0.5 * spectra.flux[:, 0])
        return spectra.select_pixels(slice(0, 15))

    stream = SpectraStream(data, transform=halve, mask_channel=True)
    batch = next(stream.batches(8))
    assert batch.inputs.shape == (8, 2, 15)
    assert batch.inputs.dtype == batch.targets.dtype == np.float32
    odd = batch.inputs[:, 0, 0] % 2 == 1
    assert np.array_equal(batch.inputs[:, 1, 3], odd)  # the mask channel
    assert batch.inputs[:, 1].sum() == odd.sum()


def test_a_transform_that_loses_spectra_is_refused(data):
    stream = SpectraStream(data, transform=lambda spectra, rng: spectra[1:])
    with pytest.raises(DataError, match="keep every spectrum"):
        next(stream.batches(8))


def test_targets_are_scaled_and_missing_ones_are_nan(data):
    scale = LabelScale(("logg", "teff"), (0.5, 4000.0), (0.25, 100.0), (0.0, 4e3), (5.0, 7e3))
    stream = SpectraStream(data, scale=scale)
    for batch in stream.batches(64):
        row = batch.inputs[:, 0, 0]
        np.testing.assert_allclose(batch.targets[:, 1], row / 100, rtol=1e-6)
        assert np.array_equal(np.isnan(batch.targets[:, 0]), row % 5 == 0)
        assert batch.weights is None


def test_weights_follow_their_rows(data):
    rows = np.array([5, 250, 7, 100])
    stream = SpectraStream(data, rows, weights=rows / 1000)
    (batch,) = stream.batches(10)
    assert batch.weights.shape == batch.targets.shape
    np.testing.assert_allclose(batch.weights.T, [batch.inputs[:, 0, 0] / 1000] * 2)
    each = np.stack([rows, -rows], axis=1)
    (batch,) = SpectraStream(data, rows, weights=each).batches(10)
    np.testing.assert_allclose(batch.weights[:, 1], -batch.inputs[:, 0, 0])


def test_bad_arguments_are_sentences(data):
    with pytest.raises(ConfigError, match="weights"):
        SpectraStream(data, weights=[1.0])
    with pytest.raises(ConfigError, match="batch_size"):
        next(SpectraStream(data).batches(0))
    with pytest.raises(LabelError, match="mg_fe"):
        SpectraStream(data, scale=LabelScale(("mg_fe",), (0.0,), (1.0,), (0.0,), (1.0,)))
    with pytest.raises(DataError, match="300 spectra"):
        SpectraStream(data, [300])
    with pytest.raises(DataError, match="No rows"):
        SpectraStream(data, [])


def test_threads_end_with_the_epoch_even_when_it_is_left_early(data):
    batches = SpectraStream(data, workers=2).batches(8)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("starnet-stream")]


def test_a_damaged_chunk_is_a_sentence_in_the_epoch(data):
    chunk = data.path / "flux" / "c.7.0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(DataError, match="rows 112 to 128"):
        list(SpectraStream(data).batches(32))

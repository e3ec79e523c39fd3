"""Circumstances as matrices: what a reader trains on is what it meets in pixels."""

import dataclasses

import numpy as np
import pytest
import torch

from starnet.errors import ConfigError
from starnet.models import build_network
from starnet.preprocess import Pipeline
from starnet.spectra import LineSpread, WavelengthGrid
from starnet.synthesis.observe import Instrument, Observer, Ripples
from starnet.training.conditions import Sight, Views, draw_conditions, mean_depth, seen_by
from starnet.training.reader import (
    ReaderRecipe,
    ReaderTraining,
    draw_stars,
    load_reader_recipe,
    reader_recipes,
    train_reader,
)

PIXELS = np.arange(20, 580)
CHIPS = ((0, 250), (280, 560))


def instrument() -> Instrument:
    grid = WavelengthGrid.log10(4.179, 6e-6, 600, "vacuum", lsf=LineSpread(resolution=22500.0))
    return Instrument("toy", dataclasses.replace(grid, chips=((20, 270), (300, 580))))


def observer() -> Observer:
    return Observer(instrument(), snr=(30, 200), sky=None, telluric=None)


@pytest.fixture(scope="module")
def parts(toy_emulator):
    views = Views(toy_emulator, observer(), PIXELS, Sight(spreads=2), seed=1)
    torch.manual_seed(0)
    settings = {"family": "reader", "n_pixels": 560, "n_labels": 2, "n_channels": 2}
    sizes = {"components": 4, "hidden": [8], "chips": CHIPS}
    network = build_network({**settings, **sizes, "chip_snr": True, "repeats": True})
    rng = np.random.default_rng(0)
    labels = rng.uniform(toy_emulator.hull.low, toy_emulator.hull.high, (200, 6))
    with torch.no_grad():
        numbers = toy_emulator.network.coefficients(torch.tensor(labels, dtype=torch.float32))
    rows = views.draw(views.star()[0])
    flux = 1 + rows[0] + numbers.numpy() @ rows[1:]
    from starnet.training.emulator import components_of

    mean, basis = components_of(flux.astype(np.float32), 4)
    power = ((torch.tensor(flux, dtype=torch.float32) - mean) @ basis.T).std(dim=0)
    network.set_components(mean, basis, power, torch.ones(560))
    return toy_emulator, network.eval(), numbers


def test_matrices_say_what_pixels_say(parts):
    emulator, network, numbers = parts
    made = draw_conditions(
        network, Views(emulator, observer(), PIXELS, Sight(spreads=2), 5), numbers, 4, seed=9
    )
    views, rng = (
        Views(emulator, observer(), PIXELS, Sight(spreads=2), 5),
        np.random.default_rng([9, 1]),
    )
    transfer = None
    for j in range(4):
        transfer = views.star()[0] if j % 2 == 0 else transfer  # two visits of one star
        rows = views.draw(transfer)
        star = numbers[rng.integers(len(numbers))].numpy()
        factor, added, sigma, mask = seen_by(views, 1 + rows[0] + star @ rows[1:], f"9-{j}", rng)
        flux = (1 + rows[0] + numbers[7].numpy() @ rows[1:]) * factor + added
        clean = torch.tensor(np.stack([flux, np.where(mask, 0, sigma**-2.0)])).float()
        noisy = clean.repeat(300, 1, 1)
        noise = torch.randn(300, 560, generator=torch.Generator().manual_seed(j))
        noisy[:, 0] += noise * torch.tensor(sigma).float()
        with torch.no_grad():
            seen, scattered = network.features(clean[None])[0], network.features(noisy)
        wanted = made.offset[j] + numbers[7] @ made.gain[j].float()
        spread = made.noise[j].float().square().sum(dim=0).sqrt()
        assert ((seen[:4] - wanted).abs() < 0.3 * spread).all()
        assert torch.allclose(seen[4:], made.extra[j], atol=0.01)
        assert np.allclose(scattered[:, :4].std(dim=0) / spread, 1, atol=0.2)


def recipe(**changes) -> ReaderRecipe:
    stars = {
        "sampler": "sobol",
        "labels": {"teff": [4200, 6200], "logg": [1, 4], "fe_h": [-1, 0.2], "vmic": [1, 2],
                   "c_fe": [-0.4, 0.0], "o_fe": [0.0, 0.4]},
    }  # fmt: skip
    settings = {k: v for k, v in observer().to_dict().items() if k != "instrument"}
    return ReaderRecipe(
        name="toy",
        emulator="toy",
        observer={**settings, "instrument": instrument().to_dict()},
        preprocess=Pipeline(()),
        stars=(stars,),
        labels=("teff", "logg"),
        network={"components": 4, "hidden": [16]},
        sight={"spreads": 2},
        training=ReaderTraining(conditions=12, together=4, batch_size=64, steps=150, lr=5e-3),
        **changes,
    )


def test_a_trained_reader_reads(toy_emulator):
    model = train_reader(recipe(), emulator=toy_emulator, progress=False)
    assert model.channels == ("flux", "ivar")
    assert model.labels == ("teff", "logg")
    assert model.provenance["card"]["emulator"] == "toy"
    x = model.inputs(_observed(toy_emulator))
    mean, sigma = model.network.distribution(torch.from_numpy(x))
    assert torch.isfinite(mean).all()
    assert sigma.mean() < 1.0


def _observed(emulator):
    from starnet.spectra import Labels

    rng = np.random.default_rng(4)
    values = rng.uniform([4500, 1.5, -0.5, 1.2, -0.3, 0.0], [6000, 3.5, 0, 1.8, 0, 0.3], (8, 6))
    made = emulator.synthesize(Labels(emulator.labels, values), instrument().grid)
    return observer()(made.spectra())


def test_recipes_of_the_package_go_to_yaml_and_back():
    for name in reader_recipes():
        one = load_reader_recipe(name)
        assert ReaderRecipe.from_dict(one.to_dict()) == one


def test_a_recipe_with_an_unknown_setting_is_refused():
    with pytest.raises(ConfigError, match="spelled wrongly"):
        ReaderRecipe.from_dict({**recipe().to_dict(), "speed": 3})


def test_stars_stay_where_the_emulator_holds(toy_emulator):
    stars = draw_stars(recipe(), toy_emulator, 500)
    assert toy_emulator.hull.contains(stars).all()
    assert len(stars) == 500


def test_errors_of_lines_are_as_large_as_the_lines(parts):
    emulator, network, numbers = parts
    sight = Sight(spreads=2, line_error=0.2)
    made = draw_conditions(
        network, Views(emulator, observer(), PIXELS, sight, 5), numbers, 2, seed=9
    )
    generator = torch.Generator().manual_seed(0)
    stars = numbers[:40].repeat(50, 1)[None].repeat(2, 1, 1)  # (2, 2000, E)
    depth = mean_depth(emulator, stars)
    assert (depth > 0).all()
    wrong = made.line_errors(depth[:1], generator).repeat(2, 1, 1)  # of the star, in both visits
    which = torch.tensor([0, 1])
    still = made.features(which, stars, torch.Generator().manual_seed(1))
    moved = made.features(which, stars, torch.Generator().manual_seed(1), wrong)
    off = (moved - still)[:, :4].view(2, 50, 40, 4)
    assert off.abs().max() > 0
    deeper = made.line_errors(2 * depth[:1], torch.Generator().manual_seed(0))
    torch.testing.assert_close(deeper, 2 * wrong[:1])
    together = [np.corrcoef(off[0, ..., c].flatten(), off[1, ..., c].flatten())[0, 1]
                for c in range(4)]  # fmt: skip
    assert min(together) > 0.8  # both visits of a star have the same lines wrong
    assert (made.features(which, stars, torch.Generator().manual_seed(1)) == still).all()


def test_ripples_are_noise_that_no_error_tells_of(parts):
    emulator, network, numbers = parts
    rough = dataclasses.replace(observer(), ripples=Ripples(0.05, 5.0))
    plain, waved = (
        draw_conditions(
            network, Views(emulator, o, PIXELS, Sight(spreads=2), 5), numbers, 2, seed=9
        )
        for o in (observer(), rough)
    )
    width = [made.noise.float().square().sum(dim=(1, 2)).sqrt() for made in (plain, waved)]
    assert (width[1] > 1.5 * width[0]).all()
    assert torch.allclose(plain.gain.float(), waved.gain.float(), rtol=0.2, atol=0.1)

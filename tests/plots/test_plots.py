import numpy as np
import pytest
from astropy.table import Table

from starnet import plots
from starnet.errors import DataError, LabelError, OutputError
from starnet.spectra import Labels

NAMES = ("teff", "logg", "fe_h")


@pytest.fixture
def pair(rng):
    truth = np.column_stack(
        [rng.uniform(4000, 7000, 200), rng.uniform(0, 5, 200), rng.uniform(-2, 0.4, 200)]
    )
    guess = truth + rng.normal(0, [80.0, 0.2, 0.1], truth.shape)
    guess[3] = np.nan
    return Labels(NAMES, guess), Labels(NAMES, truth)


def curve():
    epochs = np.arange(1, 6)
    table = Table({"epoch": epochs, "train_loss": 1.0 / epochs, "valid_loss": 1.2 / epochs})
    table.meta["best_epoch"] = 4
    return table


def figures(pair):
    predicted, reference = pair
    yield plots.one_to_one(predicted, reference, summary=["a", "b", "c"]), 3
    yield plots.residuals(predicted, reference), 3
    yield plots.kiel(("reference", reference), ("predicted", predicted)), 3  # two and a colour bar
    yield plots.kiel(("no colour", reference.select(["teff", "logg"]))), 1
    yield plots.training_curve(curve(), curve()), 1


def test_every_figure_has_its_panels_names_on_axes_and_is_written(pair, tmp_path):
    for i, (figure, n_axes) in enumerate(figures(pair)):
        assert len(figure.axes) == n_axes
        assert figure.axes[0].get_xlabel()
        path = plots.save(figure, tmp_path / "sub" / f"{i}.png")
        assert path.stat().st_size > 5000
    assert len(list((tmp_path / "sub").iterdir())) == 5


def spectra_figures():
    rng = np.random.default_rng(2)
    wave = np.linspace(16100.0, 16300.0, 400)
    model = 1 - 0.3 * np.exp(-0.5 * ((wave - 16200.0) / 1.5) ** 2) * np.ones((2, 1))
    flux = model + 0.01 * rng.standard_normal(model.shape)
    error = np.full(model.shape, 0.01)
    flux[0, 50:60] = np.nan
    yield plots.reconstructions(wave, flux, model, error, ["a", "b"]), 4
    windows = [(16100, 16200), (16200, 16300)]
    lines = [(16150.0, "Fe"), (16150.5, "Mg"), (16250.0, "Al")]
    yield plots.sequence(wave, model, ["cool", "hot"], windows=windows, lines=lines), 2


def label_figures(rng):
    names = ("fe_h", "mg_fe", "ni_fe")
    truth = Labels(names, rng.normal(0, 0.2, (60, 3)))
    guess = Labels(names, truth.values + rng.normal(0, 0.05, (60, 3)))
    yield plots.abundance_planes(guess, truth, errors=[0.05, np.inf]), 2
    yield plots.comparison(guess, truth, rng.uniform(30, 300, 60)), 7
    ratios = np.array([[1.0, np.nan, 2.0], [9.0, 1.2, 0.5]])
    yield plots.over_limit(names, ratios, ["low", "high"], bar=1.5), 1


def test_figures_of_the_report_have_panels_and_names_on_axes(rng, tmp_path):
    for i, (figure, n_axes) in enumerate([*spectra_figures(), *label_figures(rng)]):
        assert len(figure.axes) == n_axes
        assert any(axis.get_xlabel() or axis.get_ylabel() for axis in figure.axes)
        assert plots.save(figure, tmp_path / f"{i}.png").stat().st_size > 5000


def test_only_lines_with_room_are_named():
    *_, (figure, _) = spectra_figures()
    words = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert "Fe" in words[0]
    assert "Mg" not in words[0]  # too near to the one before it
    assert "Al" in words[1]


def test_figures_of_what_does_not_fit_are_refused(rng):
    wave, flux = np.linspace(1, 2, 5), np.ones((1, 5))
    with pytest.raises(DataError, match="must have shape"):
        plots.reconstructions(wave, flux, flux, flux[:, :3], ["a"])
    with pytest.raises(DataError, match="No pixel"):
        plots.reconstructions(wave, flux, flux, flux, ["a"], window=(7, 8))
    with pytest.raises(DataError, match="must have shape"):
        plots.sequence(wave, flux, ["a", "b"], windows=[(1, 2)])
    with pytest.raises(DataError, match="ratios must have shape"):
        plots.over_limit(["teff"], np.ones((2, 1)), ["a"])
    with pytest.raises(LabelError, match="need fe_h and x_fe"):
        plots.abundance_planes(Labels(("teff",), np.ones((3, 1))))
    with pytest.raises(DataError, match="same stars"):
        plots.comparison(Labels(("teff",), np.ones((3, 1))), Labels(("x",), np.ones((3, 1))), wave)


def test_every_star_that_has_both_labels_is_drawn(pair):
    figure = plots.one_to_one(*pair)
    drawn = np.ma.filled(figure.axes[0].collections[0].get_offsets(), np.nan)
    assert np.isfinite(drawn).all(axis=1).sum() == 199


def test_figures_of_nothing_are_refused_or_empty(pair):
    with pytest.raises(LabelError, match="same stars"):
        plots.one_to_one(pair[0][:5], pair[1])
    empty = Labels(NAMES, np.full((3, 3), np.nan))
    assert len(plots.residuals(empty, empty).axes) == 3


def test_a_figure_that_cannot_be_written_leaves_nothing(pair, tmp_path):
    figure = plots.one_to_one(*pair)
    with pytest.raises(OutputError, match="cannot be written"):
        plots.save(figure, tmp_path / "figure.nonsense")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("teff", r"$T_\mathrm{eff}$ (K)"),
        ("fe_h", "[Fe/H] (dex)"),
        ("mg_fe", "[Mg/Fe] (dex)"),
        ("c_h", "[C/H] (dex)"),
        ("alpha_m", "[alpha/M] (dex)"),
        ("colour", "colour"),
    ],
)
def test_axis_names(name, text):
    assert plots.axis_name(name) == text

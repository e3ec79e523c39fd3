import numpy as np
import pytest
from astropy.table import Table

from starnet import plots
from starnet.errors import LabelError, OutputError
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

"""From labels to abundances: linear maps and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starnet.errors import ConfigError, LabelError
from starnet.synthesis.composition import (
    ABSENT,
    ALPHA,
    ELEMENTS,
    SOLAR,
    TRACERS,
    Composition,
    vmic_relation,
)

BASE = ("teff", "logg", "fe_h")
STAR = [4800.0, 2.5, -0.4]


def xh(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    """[X/H] of every element."""
    return dict(zip(ELEMENTS, Composition.of(names).abundance @ np.array(values), strict=True))


def test_elements_and_solar_abundances():
    assert len(ELEMENTS) == 92
    assert ELEMENTS[25] == "Fe"
    for table in SOLAR.values():
        assert table.shape == (92,)
        assert table[0] == 12
        assert np.all(table >= ABSENT)
    known = {"C": 8.39, "N": 7.78, "O": 8.66, "Mg": 7.53, "Fe": 7.45, "Ba": 2.17, "U": -0.52}
    for symbol, value in known.items():
        assert SOLAR["grevesse2007"][ELEMENTS.index(symbol)] == value
    assert SOLAR["asplund2009"][25] == 7.50
    assert np.abs(SOLAR["asplund2009"] - SOLAR["grevesse2007"])[:30].max() < 0.25


def test_metallicity_moves_all_metals():
    made = xh(BASE, STAR)
    assert made["H"] == made["He"] == 0
    assert all(value == -0.4 for symbol, value in made.items() if symbol not in ("H", "He"))
    assert xh(("teff", "logg", "m_h"), STAR) == made


def test_alpha_moves_its_elements_and_the_atmosphere():
    made = xh((*BASE, "alpha_m"), [*STAR, 0.3])
    for symbol in ELEMENTS[2:]:
        assert made[symbol] == pytest.approx(-0.1 if symbol in ALPHA else -0.4)
    maps = Composition.of((*BASE, "alpha_m"))
    assert (maps.atmosphere @ [*STAR, 0.3]).tolist() == [*STAR, 0.3]


def test_one_element_is_set_whatever_the_others_say():
    made = xh((*BASE, "alpha_m", "mg_fe", "ni_h"), [*STAR, 0.3, 0.1, -1.0])
    assert made["Mg"] == pytest.approx(-0.3)
    assert made["Ni"] == -1.0
    assert made["Si"] == pytest.approx(-0.1)
    assert made["Fe"] == -0.4


def test_alpha_of_the_atmosphere_from_its_tracers():
    """The mean of [X/M] where no label says it."""
    names = (*BASE, *(f"{x.lower()}_fe" for x in TRACERS))
    maps = Composition.of(names)
    alpha = np.linspace(0.1, 0.6, len(TRACERS))
    assert (maps.atmosphere @ [*STAR, *alpha])[3] == pytest.approx(alpha.mean())
    assert (Composition.of(BASE).atmosphere @ STAR)[3] == pytest.approx(0)
    one = Composition.of((*BASE, "mg_h"))
    assert (one.atmosphere @ [*STAR, -0.4 + 0.6])[3] == pytest.approx(0.6 / len(TRACERS))


def test_helium_can_be_set():
    assert xh((*BASE, "he_h"), [*STAR, 0.1])["He"] == 0.1


def test_motions_are_found():
    maps = Composition.of((*BASE, "vsini", "vmic"))
    assert (maps.place("vmic"), maps.place("vsini"), maps.place("vmac")) == (4, 3, None)
    assert np.all(maps.abundance[:, 3:] == 0)


@given(st.permutations([*BASE, "alpha_m", "c_fe", "o_h", "vmic"]))
def test_order_does_not_matter(names):
    star = dict(
        zip([*BASE, "alpha_m", "c_fe", "o_h", "vmic"], [*STAR, 0.2, 0.1, -0.1, 2], strict=True)
    )
    usual = xh(tuple(star), list(star.values()))
    assert xh(tuple(names), [star[n] for n in names]) == pytest.approx(usual)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (("teff", "logg"), "need one of fe_h, m_h"),
        (("logg", "fe_h"), "need one of teff"),
        ((*BASE, "m_h"), "only one of fe_h, m_h"),
        ((*BASE, "alpha_m", "alpha_fe"), "only one of alpha_m, alpha_fe"),
        ((*BASE, "mg_h", "mg_fe"), "abundance of Mg twice"),
        ((*BASE, "fe_fe"), "abundance of Fe twice"),
        ((*BASE, "zz_fe"), "'zz_fe' has no meaning.*mg_fe"),
        ((*BASE, "h_fe"), "'h_fe' has no meaning"),
        ((*BASE, "rv"), "'rv' has no meaning"),
        ((*BASE, "mg_si"), "'mg_si' has no meaning"),
    ],
)
def test_what_is_refused(names, match):
    with pytest.raises(LabelError, match=match):
        Composition.of(names)


def test_unknown_solar_abundances():
    with pytest.raises(ConfigError, match=r"one of grevesse2007, asplund2009.*'lodders'"):
        Composition.of(BASE, "lodders")


def test_microturbulence_of_giants():
    """Holtzman et al. 2018: 1.5 km/s at log g 2.5, less in dwarfs."""
    assert vmic_relation(2.5) == pytest.approx(1.52, abs=0.02)
    assert np.all(np.diff(vmic_relation(np.linspace(1.5, 5, 20))) < 0)
    torch = pytest.importorskip("torch")
    assert float(vmic_relation(torch.tensor(2.5))) == pytest.approx(vmic_relation(2.5))

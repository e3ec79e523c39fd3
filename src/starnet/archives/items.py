"""Where the public archives keep their files: address tables, and id lists turned into items.

The tables below are the only place that knows an address. Sources:

* SDSS Science Archive Server, https://data.sdss.org/sas; APOGEE path templates: the ``sdss-tree``
  product of SDSS (``dr16.cfg``, inherited by DR17) and the data model pages of allStar, apStar,
  aspcapStar and apVisit; file names start with ``as`` for the telescope in the south.
* Optical spectra: "Optical Spectra Per-Object Files" on https://www.sdss4.org/dr17/data_access/bulk
  (run2d 26 SDSS-I/II and SEGUE-1, 103 stellar cluster plates, 104 SEGUE-2, v5_13_2 BOSS and eBOSS).
* MILES: Sanchez-Blazquez et al. 2006 (MNRAS 371, 703), http://miles.iac.es.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import TypeVar
from urllib.parse import quote, urlsplit

from astropy.table import Table

from starnet.archives.idlists import lookup, read_ids, rows
from starnet.errors import ConfigError

_T = TypeVar("_T")

SAS = "https://data.sdss.org/sas"

APOGEE_RELEASES = {
    "dr16": {"dr": "dr16", "apred": "r12", "aspcap": "l33"},
    "dr17": {"dr": "dr17", "apred": "dr17", "aspcap": "synspec_rev1"},
}
_REDUX = "{dr}/apogee/spectro/redux/{apred}"
_ASPCAP = "{dr}/apogee/spectro/aspcap/{apred}/{aspcap}"
APOGEE_PATHS = {
    "allStar": _ASPCAP + "/allStar-{apred}-{aspcap}.fits",
    "allVisit": _ASPCAP + "/allVisit-{apred}-{aspcap}.fits",
    "apStar": _REDUX + "/stars/{telescope}/{field}/{prefix}Star-{apred}-{apogee_id}.fits",
    "aspcapStar": _ASPCAP + "/{telescope}/{field}/aspcapStar-{apred}-{apogee_id}.fits",
    "apVisit": _REDUX + "/visit/{telescope}/{field}/{plate}/{mjd}/"
    "{prefix}Visit-{apred}-{plate}-{mjd}-{fiber:0>3}.fits",
    "apVisit-apo1m": _REDUX + "/visit/{telescope}/{field}/{mjd}/"
    "apVisit-{apred}-{mjd}-{apogee_id}.fits",
}
APOGEE_ALIASES = {"asStar": "apStar", "asVisit": "apVisit"}

# Trees of the per-object optical spectra: release -> run2d -> (tree, folder of the full files).
_LEGACY, _EBOSS = "{dr}/sdss/spectro/redux/{run2d}", "{dr}/eboss/spectro/redux/{run2d}"
_SINCE_DR18 = "{dr}/spectro/sdss/redux/{run2d}"
OPTICAL_TREES = {
    "dr17": {
        "26": (_LEGACY, "spectra"),
        "103": (_LEGACY, "spectra"),
        "104": (_LEGACY, "spectra"),
        "v5_13_2": (_EBOSS, "spectra/full"),
    },
    "dr18": {
        "26": (_SINCE_DR18, "spectra"),
        "103": (_SINCE_DR18, "spectra"),
        "104": (_SINCE_DR18, "spectra"),
        "v5_13_2": (_SINCE_DR18, "spectra/full"),
    },
}
OPTICAL_FILE = "{plate:0>4}/spec-{plate:0>4}-{mjd}-{fiber:0>4}.fits"
FIRST_BOSS_PLATE = 3510

_MILES_TREES = (
    "https://research.iac.es/proyecto/miles/media/tarfiles/Stellar_Libraries/",
    "http://miles.iac.es/media/tarfiles/Stellar_Libraries/",
)
# The FITS form comes first because its files say their own wavelengths; the plain one is text.
MILES_TAR = tuple(
    tree + name
    for name in ("MILES_library_v9.1_FITS.tar.gz", "MILES_library_v9.1.tar.gz")
    for tree in _MILES_TREES
)
MILES_PARAMETERS = "paramsMILES_v9.1.txt"

# ASPCAP's revision kept the files (and sums) of the north where they were.
_SUMS_ALIASES = {"synspec_rev1": "synspec"}


@dataclass(frozen=True)
class Item:
    """One file of an archive.

    Parameters
    ----------
    name
        What was asked for: a star, ``plate-mjd-fiber``, or a catalogue.
    path
        Where the file goes, relative to the download folder, with forward slashes.
    locations
        Paths below the archive's address (or whole addresses), tried in this order until one
        exists.
    archive
        The archive's address.
    sums
        Whether the archive keeps ``*.sha1sum`` files beside its files.
    problem
        Why this cannot be fetched at all (a star that the catalogue does not know); such an item
        becomes a failed row of the report.
    sha256
        Checksum that the file must have, in hexadecimal, where it is known beforehand; an address
        that gives another file is passed over.
    """

    name: str
    path: str
    locations: tuple[str, ...] = ()
    archive: str = SAS
    sums: bool = True
    problem: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.problem:
            return
        parts = PurePosixPath(self.path).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise ConfigError(
                f"The path of a download must stay inside its folder; received {self.path!r}."
            )
        if not self.locations:
            raise ConfigError(f"An item needs at least one location; {self.name!r} has none.")

    @classmethod
    def from_url(cls, url: str) -> "Item":
        """Item for any http(s) address; the file keeps the address's last name."""
        name = PurePosixPath(urlsplit(url).path).name
        return cls(name, name, (url,), sums=False)

    def urls(self, base_url: str | None = None) -> tuple[str, ...]:
        """Addresses to try, on the archive or below `base_url` (a mirror)."""
        base = (base_url or self.archive).rstrip("/")
        return tuple(_address(location, base, base_url is not None) for location in self.locations)


def _address(location: str, base: str, moved: bool) -> str:
    if "://" not in location:
        return f"{base}/{quote(location, safe='/+')}"
    return base + urlsplit(location).path if moved else location


def sums_names(url: str) -> tuple[str, ...]:
    """Names that the checksum file beside `url` may have.

    SDSS names it after the last four directories of the path, joined by underscores
    (``dr17_stars_apo25m_M53.sha1sum``).
    """
    parts = urlsplit(url).path.split("/")[:-1][-4:]
    moved = [_SUMS_ALIASES.get(part, part) for part in parts]
    names = ["_".join(parts) + ".sha1sum", "_".join(moved) + ".sha1sum"]
    return tuple(dict.fromkeys(names))


def catalogue_items(product: str = "allStar", release: str = "dr17") -> list[Item]:
    """Item of an APOGEE summary table, ``allStar`` or ``allVisit``."""
    values = _choose("release", release, APOGEE_RELEASES)
    if product not in ("allStar", "allVisit"):
        raise ConfigError(f"A catalogue must be allStar or allVisit; received {product!r}.")
    location = APOGEE_PATHS[product].format(**values)
    return [Item(product, PurePosixPath(location).name, (location,))]


def apogee_items(
    ids: "Table | str | Path | Iterable[str]",
    product: str = "apStar",
    release: str = "dr17",
    *,
    catalogue: "Path | str | None" = None,
) -> list[Item]:
    """Items of APOGEE spectra for a list of stars.

    Parameters
    ----------
    ids
        APOGEE ids: a list, a text file with one per line, or a table (CSV, ECSV, FITS) with the
        column ``apogee_id`` and, where the path needs them, ``telescope`` and ``field``
        (``plate``, ``mjd`` and ``fiber`` too for visits).
    product
        ``apStar`` (named asStar in the south), ``aspcapStar`` or ``apVisit``.
    release
        ``dr16`` or ``dr17``.
    catalogue
        allStar (allVisit for visits) file that supplies the columns that the list lacks. A star
        has one item for every row of it there; a star that is not there becomes an item with a
        `problem`.

    Raises
    ------
    ConfigError
        Unknown product or release, a list without ids, or columns missing without a catalogue.
    """
    product = APOGEE_ALIASES.get(product, product)
    values = _choose("release", release, APOGEE_RELEASES)
    _choose("product", product, dict.fromkeys(("apStar", "aspcapStar", "apVisit"), ""))
    needs = {"apogee_id"} | _columns(APOGEE_PATHS[product]) - values.keys() - {"prefix"}
    table = read_ids(ids, "apogee_id")
    lacking = sorted(needs - set(table.colnames))
    if not lacking:
        return _unique(_apogee_item(product, values, row) for row in rows(table))
    name = "allVisit" if product == "apVisit" else "allStar"
    if catalogue is None:
        raise ConfigError(
            f"The address of an {product} file needs {', '.join(lacking)}, and the id list has "
            f"only {', '.join(table.colnames)}; add these columns or give the {name} file as "
            f"catalogue (it can be downloaded too)."
        )
    found = lookup(table, Path(catalogue), sorted(needs))
    items = []
    for star, matches in found.items():
        items.extend(_apogee_item(product, values, match) for match in matches)
        if not matches:
            why = f"{star} is not in {Path(catalogue).name}; check the id and the release."
            items.append(Item(star, star, problem=why))
    return _unique(items)


def _apogee_item(product: str, values: Mapping[str, str], row: Mapping[str, str]) -> Item:
    star = row["apogee_id"]
    if problem := _unsafe(row):
        return Item(star, star, problem=problem)
    south = row["telescope"].startswith("lco")
    key = "apVisit-apo1m" if (product, row["telescope"]) == ("apVisit", "apo1m") else product
    location = APOGEE_PATHS[key].format(**values, **row, prefix="as" if south else "ap")
    # The same star may lie in several fields under one file name, so these folders stay.
    local = f"{row['telescope']}/{row['field']}/{PurePosixPath(location).name}"
    return Item(star, local, (location,))


def sdss_items(
    ids: "Table | str | Path | Iterable[str]",
    kind: str = "lite",
    release: str = "dr17",
    *,
    run2d: str | None = None,
) -> list[Item]:
    """Items of SDSS, SEGUE and BOSS optical spectra.

    Parameters
    ----------
    ids
        ``plate-mjd-fiber`` names: a list, a text file with one per line, or a table with the
        columns ``plate``, ``mjd``, ``fiber`` and, if known, ``run2d``.
    kind
        ``lite`` (the combined spectrum) or ``full`` (with every exposure).
    release
        ``dr17`` or ``dr18``.
    run2d
        Reduction: ``26``, ``103``, ``104`` or ``v5_13_2``. When neither this nor the column is
        given, plates from 3510 on are BOSS's and the older ones are tried in 26, 104 and 103.

    Raises
    ------
    ConfigError
        Unknown kind, release or run2d, or a list without plate, mjd and fiber.
    """
    trees = _choose("release", release, OPTICAL_TREES)
    _choose("kind", kind, {"lite": "", "full": ""})
    if run2d is not None:
        _choose("run2d", str(run2d), trees)
    table = read_ids(ids, "spec")
    return _unique(
        _sdss_item(row, kind, release, str(row.get("run2d") or run2d or "")) for row in rows(table)
    )


def _sdss_item(row: Mapping[str, str], kind: str, release: str, run2d: str) -> Item:
    name = "-".join(row[key] for key in ("plate", "mjd", "fiber"))
    if not re.fullmatch(r"\d{1,6}-\d{5}-\d{1,5}", name):
        return Item(name, name, problem=f"{name!r} is not a plate-mjd-fiber of whole numbers.")
    trees = OPTICAL_TREES[release]
    if run2d and run2d not in trees:
        why = f"run2d must be one of {', '.join(trees)}; received {run2d!r} for {name}."
        return Item(name, name, problem=why)
    boss = int(row["plate"]) >= FIRST_BOSS_PLATE
    guesses = (run2d,) if run2d else ("v5_13_2",) if boss else ("26", "104", "103")
    file = OPTICAL_FILE.format(**row)
    locations = []
    for guess in guesses:
        tree, full = trees[guess]
        folder = "spectra/lite" if kind == "lite" else full
        locations.append(f"{tree.format(dr=release, run2d=guess)}/{folder}/{file}")
    return Item(name, file, tuple(locations))


def miles_items() -> list[Item]:
    """Items of the MILES library (one archive) and its parameter table."""
    tables = tuple(tree + MILES_PARAMETERS for tree in _MILES_TREES)
    return [
        Item("MILES library", "MILES_library_v9.1.tar.gz", MILES_TAR, sums=False),
        Item("MILES parameters", MILES_PARAMETERS, tables, sums=False),
    ]


def _choose(what: str, name: str, table: Mapping[str, _T]) -> _T:
    if name not in table:
        raise ConfigError(f"{what} must be one of {', '.join(table)}; received {name!r}.")
    return table[name]


def _columns(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def _unsafe(row: Mapping[str, str]) -> str:
    """Sentence about a value that must not become part of a path, or an empty string."""
    for key, value in row.items():
        if not re.fullmatch(r"[\w+-][\w+. -]*", value):
            return f"{key} {value!r} cannot be part of a file name; correct the id list."
    return ""


def _unique(items: Iterable[Item]) -> list[Item]:
    return list({(item.path, item.problem): item for item in items}.values())

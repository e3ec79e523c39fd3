"""Files of precomputed spectra: where labels, wavelengths and rows of flux are, read row by row."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from starnet.errors import ConfigError, ReadError
from starnet.synthesis.contract import Array

Rows = Callable[[Array, slice], Array]
"""Rows (K,) of the table and a range of pixels -> values (K, pixels), float64."""
MEDIA = ("vacuum", "air")
_BROKEN = (OSError, ValueError, KeyError, IndexError, EOFError, AstropyUserWarning)


@dataclass(frozen=True, eq=False)
class Cube:
    """Spectra at N nodes in L labels.

    Attributes
    ----------
    labels : tuple of str
        Names, as the file has them.
    axes : tuple of array, or None
        Values of each label, rising, where the nodes fill a lattice; the last varies fastest.
    points : array (N, L), or None
        Labels of each node, where they are scattered.
    wavelength : array (P,)
        Angstrom, rising, in ``medium``.
    flux, continuum : callable
        Rows of flux, and of the continuum where there is one.
    resolving_power : float
        Of the spectra, for information; NaN where the file does not say.
    """

    labels: tuple[str, ...]
    axes: tuple[Array, ...] | None
    points: Array | None
    wavelength: Array
    medium: str
    flux: Rows
    continuum: Rows | None = None
    resolving_power: float = np.nan

    @property
    def n_nodes(self) -> int:
        """Number of nodes N."""
        if self.axes is not None:
            return int(np.prod([axis.size for axis in self.axes]))
        return 0 if self.points is None else len(self.points)


def open_cube(path: Path, medium: str | None) -> Cube:
    """Open a file of precomputed spectra; nothing but labels and wavelengths is read.

    Raises
    ------
    ReadError
        If it is absent, foreign, cut off, or lacks something.
    ConfigError
        If neither the file nor ``medium`` says whether wavelengths are in air or vacuum.
    """
    from starnet.synthesis.engines.ferre import open_ferre

    readers = {".npz": _npz, ".h5": _hdf5, ".hdf5": _hdf5, ".fits": _fits, ".dat": open_ferre}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ReadError(
            f"{path}: a grid of spectra is a file ending in {', '.join(readers)}; received "
            f"{path.suffix or 'no ending'}."
        )
    if not path.is_file():
        raise ReadError(f"{path} must be a file of precomputed spectra; there is none.")
    try:
        return reader(path, medium)
    except (*_BROKEN, zipfile.BadZipFile) as error:
        if isinstance(error, ReadError | ConfigError):
            raise
        raise ReadError(
            f"{path}: not a whole grid of spectra ({error}); see the layout in SpectrumGrid, or "
            "get the file again."
        ) from error


def assemble(
    path: Path,
    parts: Mapping[str, Any],
    shape: tuple[int, ...],
    flux: Rows,
    continuum: Rows | None,
    medium: str | None,
) -> Cube:
    """A `Cube` of what a reader found, checked.

    ``parts`` holds ``label_names``, ``wavelength``, and either ``labels`` or ``axis_<name>``s;
    ``medium`` and ``resolving_power`` are optional.
    """
    for name in ("label_names", "wavelength"):
        if name not in parts:
            raise ReadError(f"{path}: a grid of spectra must hold {name}; it holds {list(parts)}.")
    names = tuple(_text(n) for n in np.atleast_1d(parts["label_names"]))
    wave = np.asarray(parts["wavelength"], dtype=float)
    axes = points = None
    if "labels" in parts:
        points = np.asarray(parts["labels"], dtype=float).reshape(-1, len(names))
        expected = (len(points), wave.size)
    else:
        axes = tuple(np.asarray(parts[f"axis_{n}"], dtype=float).reshape(-1) for n in names)
        expected = (*(axis.size for axis in axes), wave.size)
    if shape != expected:
        raise ReadError(
            f"{path}: flux has the shape {shape}; labels and wavelengths ask for {expected}."
        )
    for name, axis in zip((*names, "wavelength"), (*(axes or ()), wave), strict=False):
        if not (np.isfinite(axis).all() and np.all(np.diff(axis) > 0)):
            raise ReadError(f"{path}: {name} must be finite and rise; sort it, and flux with it.")
    if points is not None and not np.isfinite(points).all():
        raise ReadError(f"{path}: labels of the spectra must be finite.")
    own = _text(parts["medium"]).lower() if "medium" in parts else None
    return Cube(
        names,
        axes,
        points,
        wave,
        medium_of(path, own, medium),
        flux,
        continuum,
        float(np.asarray(parts.get("resolving_power", np.nan))),
    )


def medium_of(path: Path, own: str | None, given: str | None) -> str:
    """The medium that the file says or the caller; they must not differ."""
    if own and given and own != given:
        raise ConfigError(f"{path} says that its wavelengths are in {own}, and medium={given!r}.")
    found = own or given
    if found not in MEDIA:
        raise ConfigError(
            f'{path}: whether wavelengths are in "vacuum" or "air" must be said, by the file or '
            f"with medium=; received {found!r}."
        )
    return found


def _text(value: Any) -> str:
    value = np.asarray(value).item() if np.ndim(value) == 0 else value
    return value.decode() if isinstance(value, bytes) else str(value)


def _from_array(array: Any) -> Rows:
    """Rows of an array-like whose last axis is wavelength; it may be a memory map."""
    flat = array.reshape(-1, array.shape[-1])

    def rows(which: Array, pixels: slice) -> Array:
        return np.array(flat[np.asarray(which), pixels], dtype=float)

    return rows


def _npz(path: Path, medium: str | None) -> Cube:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        names = [name for name in archive.files if name not in ("flux", "continuum")]
        parts = {name: archive[name] for name in names}
        here = set(archive.files)
    if "flux" not in here:
        raise ReadError(f"{path}: a grid of spectra must hold flux; it holds {sorted(here)}.")
    flux = _member(path, "flux")
    continuum = _from_array(_member(path, "continuum")) if "continuum" in here else None
    return assemble(path, parts, flux.shape, _from_array(flux), continuum, medium)


def _member(path: Path, name: str) -> Array:
    """An array of an npz file: mapped into memory where it is stored uncompressed, else read."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    with path.open("rb") as file:
        if info.compress_type != zipfile.ZIP_STORED:
            with np.load(file, allow_pickle=False) as archive:
                return archive[name]
        file.seek(info.header_offset + 26)  # lengths of name and extra field of the zip member
        lengths = np.frombuffer(file.read(4), "<u2")
        file.seek(info.header_offset + 30 + int(lengths.sum()))
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise ReadError(f"{path}: {name} holds objects; save it as plain numbers.")
        order = "F" if fortran else "C"
        return np.memmap(path, dtype, "r", file.tell(), shape, order)


def _hdf5(path: Path, medium: str | None) -> Cube:
    import h5py

    with h5py.File(path, "r") as file:
        parts: dict[str, Any] = {
            name: item[()]
            for name, item in file.items()
            if isinstance(item, h5py.Dataset) and name not in ("flux", "continuum")
        }
        parts |= dict(file.attrs)
        shape = tuple(int(n) for n in file["flux"].shape)  # pyright: ignore
        both = "continuum" in file
    return assemble(
        path,
        parts,
        shape,
        _hdf5_rows(path, "flux"),
        _hdf5_rows(path, "continuum") if both else None,
        medium,
    )


def _hdf5_rows(path: Path, name: str) -> Rows:
    def rows(which: Array, pixels: slice) -> Array:
        import h5py

        with h5py.File(path, "r") as file:
            data: Any = file[name]
            lead = data.shape[:-1]
            places = np.unravel_index(np.asarray(which), lead)
            return np.array(
                [data[(*(int(i) for i in at), pixels)] for at in zip(*places, strict=True)],
                dtype=float,
            )

    return rows


def _fits(path: Path, medium: str | None) -> Cube:
    from astropy.io import fits

    opened: Any = fits.open(path, memmap=True)
    with opened as hdus, warnings.catch_warnings():
        warnings.simplefilter("error", AstropyUserWarning)  # of a file that is cut off
        found = {hdu.name.upper(): i for i, hdu in enumerate(hdus)}
        if "FLUX" not in found:
            raise ReadError(f"{path}: an image extension FLUX is needed; it has {list(found)}.")
        header = hdus[found["FLUX"]].header
        shape = tuple(int(n) for n in hdus[found["FLUX"]].shape)
        parts: dict[str, Any] = {"wavelength": np.array(hdus[found["WAVELENGTH"]].data)}
        if "LABELS" in found:
            table = hdus[found["LABELS"]].data
            parts["label_names"] = [n.lower() for n in table.names]
            parts["labels"] = np.column_stack([np.asarray(table[n], float) for n in table.names])
        else:
            names = [str(header[f"LABEL{i}"]).lower() for i in range(1, len(shape))]
            parts["label_names"] = names
            parts |= {f"axis_{n}": np.array(hdus[found[n.upper()]].data) for n in names}
        for key in ("medium", "resolving_power"):
            if key.upper()[:8] in header:
                parts[key] = header[key.upper()[:8]]
    continuum = _fits_rows(path, "CONTINUUM") if "CONTINUUM" in found else None
    return assemble(path, parts, shape, _fits_rows(path, "FLUX"), continuum, medium)


def _fits_rows(path: Path, name: str) -> Rows:
    def rows(which: Array, pixels: slice) -> Array:
        from astropy.io import fits

        opened: Any = fits.open(path, memmap=True)
        with opened as hdus:
            data = hdus[name].section
            places = np.unravel_index(np.asarray(which), hdus[name].shape[:-1])
            return np.array(
                [data[(*(int(i) for i in at), pixels)] for at in zip(*places, strict=True)],
                dtype=float,
            )

    return rows

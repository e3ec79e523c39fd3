"""The exception tree. Catch ``StarNetError`` to catch everything this package raises on purpose.

StarNetError
|-- DataError             a file or an array is not what it should be
|   |-- ReadError         a spectrum file cannot be read (truncated, foreign, empty)
|   |-- GridError         wavelengths do not fit (order, coverage, other grid)
|   |-- FrameError        air and vacuum, or rest and observed frame, do not agree
|   `-- LabelError        labels or the label table do not fit
|-- ConfigError           an argument or a configuration file is wrong
|-- ModelError            a saved model is damaged, foreign or does not fit
|-- TrainingError         training cannot start or go on
|   `-- TrainingInterrupted  stopped by the user; a checkpoint was kept
|-- OutputError           a result cannot be written
|-- EngineError           a synthesis program of others crashed or yielded nothing
|-- DownloadError         an archive does not answer or a checksum differs
`-- MissingDependencyError  an optional package is not installed

Every message is one sentence or two: what happened, what was required, what was received, and
what to do about it.
"""


class StarNetError(Exception):
    """Base class of every error that StarNet raises on purpose."""


class DataError(StarNetError, ValueError):
    """A file or an array is not what it should be."""


class ReadError(DataError):
    """A spectrum file cannot be read: truncated, foreign or empty."""


class GridError(DataError):
    """Wavelengths do not fit: their order, their coverage, or another grid."""


class FrameError(DataError):
    """Air and vacuum, or rest and observed frame, do not agree."""


class LabelError(DataError):
    """Labels or the label table do not fit."""


class ConfigError(StarNetError, ValueError):
    """An argument or a configuration file is wrong."""


class ModelError(StarNetError):
    """A saved model is damaged, foreign, or does not fit the data."""


class TrainingError(StarNetError):
    """Training cannot start or cannot go on."""


class TrainingInterrupted(TrainingError):  # noqa: N818 - it is no fault
    """Training was stopped by the user; the message says where the checkpoint is."""


class OutputError(StarNetError, OSError):
    """A result cannot be written."""


class EngineError(StarNetError):
    """A synthesis program of others crashed, ran out of time, or yielded nothing of use."""


class DownloadError(StarNetError, OSError):
    """An archive does not answer, lacks a file, or a checksum differs."""


class MissingDependencyError(StarNetError, ImportError):
    """An optional package is needed and not installed."""

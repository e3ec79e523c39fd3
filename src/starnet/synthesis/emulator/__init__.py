"""The engine ``emulator``: a network that learnt another engine's spectra, and is far faster."""

from starnet.synthesis.emulator.emulator import Emulator, shipped_emulators

__all__ = ["Emulator", "shipped_emulators"]
